"""Storage of fitted models in files that are read without pickle."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat import extract, images
from hemafeat._archives import check_sizes
from hemafeat._files import write_whole
from hemafeat._machine import versions
from hemafeat.pipelines._inspect import ModelError, needs
from hemafeat.pipelines._model import Model, PatientModel
from hemafeat.pipelines._steps.columns import check_units

FORMAT = "hemafeat model"
FORMAT_VERSION = 1

SHIPPED = ("leukocytes",)
"""Names of the models that come with the package."""

_SHIPPED = Path(__file__).parent / "_shipped"
_MANIFEST = "manifest.json"
_MODEL = "model.skops"
_SCHEMA = "schema.json"
_OWNERS = ("hemafeat.extract", "hemafeat.pipelines", "imblearn", "sklearn")
"""Packages whose objects may hold steps of a pipeline."""

_PACKAGES = ("scikit-learn", "numpy", "xgboost", "skops", "imbalanced-learn")

# Types that may be built from a file besides those that skops trusts, by exact name.
_TRUSTED = (
    "hemafeat.extract.CellFeatures",
    "hemafeat.images.GreyWorld",
    "hemafeat.images.Macenko",
    "hemafeat.images.Reinhard",
    "hemafeat.networks.Augmentation",
    "hemafeat.networks.Embedding",
    "hemafeat.networks.StainedNetwork",
    "hemafeat.pipelines.DateFormat",
    "hemafeat.pipelines.PatientAttributes",
    "hemafeat.pipelines.PenalisedLogistic",
    "hemafeat.pipelines.MILImageClassifier",
    "hemafeat.pipelines.MILClassifier",
    "hemafeat.pipelines.Aligned",
    "hemafeat.pipelines.BestOf",
    "hemafeat.pipelines.BoostedTrees",
    "hemafeat.pipelines.CellPipeline",
    "hemafeat.pipelines.LogScale",
    "hemafeat.pipelines.FeatureColumns",
    "hemafeat.pipelines.GreyPixels",
    "hemafeat.pipelines.WeightedVote",
    "hemafeat.pipelines.GroupedBagging",
    "hemafeat.pipelines.GroupedFolds",
    "hemafeat.pipelines.GroupedStack",
    "hemafeat.pipelines.FillMissing",
    "hemafeat.pipelines.FineTuned",
    "hemafeat.pipelines.NeighbourhoodCorrection",
    "hemafeat.pipelines.NetworkClassifier",
    "hemafeat.pipelines.DecisionRule",
    "hemafeat.pipelines.PatientStack",
    "hemafeat.pipelines.PatientTable",
    "hemafeat.pipelines.CellVote",
    "hemafeat.pipelines.Fisher",
    "hemafeat.pipelines.Prototypes",
    "hemafeat.pipelines.ClassNeighbours",
    "hemafeat.pipelines.ClippedScaler",
    "hemafeat.pipelines.BackgroundMeans",
    "hemafeat.pipelines.SelectiveClassifier",
    "hemafeat.pipelines.SoftmaxMLP",
    "hemafeat.pipelines.SupportVectors",
    "hemafeat.pipelines.PartialWhitening",
    "imblearn.over_sampling._smote.base.SMOTE",
    "imblearn.pipeline.Pipeline",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    units: Mapping[str, str] | None = None,
    note: str = "",
    patient: str = "patient",
    measured: Mapping[str, str] | None = None,
) -> Path:
    """Write a fitted model to a file.

    Parameters
    ----------
    model : estimator or Model
        Classifier fitted on a DataFrame, or on rows of `bags` if it classifies patients. Of a
        search such as `sklearn.model_selection.GridSearchCV` the best estimator is written.
    path : path
        The file, usually with the suffix ``.hemafeat``. An existing file is replaced only once the
        new one is complete.
    units : mapping of str to str, optional
        Unit of each column, as `extract.units` returns it. By default those of the table that the
        model was fitted on, as far as that table told them. A table in other units is refused.
    note : str
        Free text kept with the model, such as data, protocol and scores.
    patient : str
        Column of the table that names the patient of each cell. Only for models of patients.
    measured : mapping of str to str, optional
        Options with which the cells were measured, `hemafeat.extract.measured` of the table.
        ``hemafeat predict`` measures new images with them, and a table that was measured otherwise
        causes a warning. By default those that the table held on which the model was fitted.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If the model is not fitted, was fitted without column names or in other units, or holds a
        type that `load` would refuse.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> model = pipelines.logistic().fit(table, table["label"])
    >>> path = pipelines.save(model, "model.hemafeat", note="a first try")
    >>> pipelines.load(path).predict(table).tolist()
    ['a', 'a', 'b', 'b']
    """
    import skops.io

    if isinstance(model, PatientModel):
        patient = model.patient
    if isinstance(model, Model):
        measured = measured or model.measured
        units, note, model = units or model.units, note or model.note, model.pipeline
    model = getattr(model, "best_estimator_", model)
    needed = needs(model)
    measured = measured or needed.measured
    try:
        check_units(needed.units, units or {})
    except ValueError as error:
        raise ModelError(f"the units do not fit the model: {error}") from None
    units = units or needed.units
    try:
        data = skops.io.dumps(model)
    except Exception as error:  # skops raises many kinds of errors for unknown types
        raise ModelError(f"the model cannot be stored: {error}") from error
    if unknown := _unknown_types(data):
        raise ModelError(
            f"the model holds types that `load` would refuse: {', '.join(unknown)}. Functions and "
            "classes of your own cannot be stored: name families, segmenters and normalisers, and "
            "use steps of hemafeat and scikit-learn"
        )
    try:
        check_parts(model)
    except ValueError as error:
        raise ModelError(f"the model cannot be stored: {error}") from None
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "columns": needed.columns,
        "units": {name: units[name] for name in needed.columns if name in units},
        # For readers of the file; the labels themselves are in the model.
        "classes": [str(name) for name in model.classes_],
        "families": sorted({name.split("__")[1] for name in needed.columns if "__" in name}),
        "dtype": "float64",
        "versions": versions(_PACKAGES) | {"formulas": str(extract.FORMULAS)},
        "note": note,
    }
    if needed.unit == "cell":
        manifest["measured"] = dict(measured or {})
    else:
        manifest["patients"] = {
            "patient": patient,
            "attributes": needed.attributes,
            "beside": needed.beside,
            "measured": dict(measured or {}),
        }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
            archive.writestr(_MANIFEST, text)
            archive.writestr(_MODEL, data)

    write_whole(path, write)
    return path


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that `save` wrote.

    No code from the file is run: only types of scikit-learn, NumPy and this package are built, each
    by its exact name, and the nodes of decision trees are checked.

    Parameters
    ----------
    path : path
        The file, or ``"leukocytes"``: the model of the types of white cells of peripheral blood
        that comes with the package, for research only. The guide has its card.

    Returns
    -------
    Model
        The fitted classifier with its columns, units and classes; a `PatientModel` if it
        classifies patients.

    Raises
    ------
    ModelError
        If the file does not exist, is not a model, is truncated, or names an unknown type.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> path = pipelines.save(pipelines.svc().fit(table, table["label"]), "svc.hemafeat")
    >>> model = pipelines.load(path)
    >>> model.columns, model.classes
    (['cell__shape__area'], ['a', 'b'])
    """
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io.exceptions import UntrustedTypesFoundException

    path = _SHIPPED / f"{path}.hemafeat" if path in SHIPPED else Path(path)
    manifest, data = _read(path)
    try:
        with warnings.catch_warnings():
            # scikit-learn warns once per step; `_warn_of_versions` warns once for all of them.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            data = _with_public_names(data)
            pipeline = skops.io.loads(data, trusted=list(_TRUSTED))
        check_trees(pipeline)
        check_parts(pipeline)
        _add_parameters(pipeline)
        needed = needs(pipeline)
        kwargs: dict[str, Any] = {
            "pipeline": pipeline,
            "columns": _strings(manifest["columns"]),
            "classes": np.asarray(pipeline.classes_).tolist(),
            "units": extract.current_units(_string_dict(manifest["units"])),
            "versions": _string_dict(manifest["versions"]),
            "note": str(manifest["note"]),
            "name": path.name,
            "measured": _string_dict(manifest.get("measured", {})),
        }
        fits = kwargs["columns"] == needed.columns
        same_classes = _strings(manifest["classes"]) == _strings(pipeline.classes_)
        kind: type[Model] = Model
        if needed.unit == "patient":
            kind, patients = PatientModel, manifest["patients"]
            kwargs |= {
                "patient": str(patients["patient"]),
                "attributes": _strings(patients["attributes"]),
                "beside": _strings(patients["beside"]),
            }
            kwargs["measured"] = _string_dict(patients["measured"])
            fits &= kwargs["attributes"] == needed.attributes
            fits &= kwargs["beside"] == needed.beside
    except UntrustedTypesFoundException:
        raise ModelError(
            f"{path}: refused because it holds unknown types: {_unknown_types(data)}"
        ) from None
    except Exception as error:  # a crafted file can fail anywhere
        raise ModelError(f"{path}: the model cannot be built: {error}") from error
    if not fits:
        raise ModelError(f"{path}: the columns of the manifest are not those of the model")
    if not same_classes:
        raise ModelError(f"{path}: the classes of the manifest are not those of the model")
    try:
        check_units(needed.units, kwargs["units"])
    except ValueError:
        raise ModelError(f"{path}: the units of the manifest are not those of the model") from None
    _warn_of_versions(kwargs["versions"], path)
    return kind(**kwargs)


def _with_public_names(data: bytes) -> bytes:
    """Name our classes by their package in a model of version 0.1, which names private files."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts[_SCHEMA])
    if not _rename(schema):
        return data
    parts[_SCHEMA] = json.dumps(schema).encode()
    renamed = io.BytesIO()
    with zipfile.ZipFile(renamed, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return renamed.getvalue()


def _rename(schema: Any) -> int:
    """Replace private modules by packages in a schema of skops and return their number."""
    waiting, n_renamed = [schema], 0
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            private = re.fullmatch(r"(hemafeat\.[a-z]+)\._\w+", str(part.get("__module__")))
            if private and f"{private[1]}.{part.get('__class__')}" in _TRUSTED:
                part["__module__"] = private[1]
                n_renamed += 1
    return n_renamed


def _strings(values: Any) -> list[str]:
    return [str(value) for value in values]


def _string_dict(values: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in values.items()}


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the manifest and the pipeline of a file."""
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            check_sizes(archive, len(whole))
            manifest = json.loads(archive.read(_MANIFEST).decode("utf-8"))
            data = archive.read(_MODEL)
    except KeyError:
        raise ModelError(f"{path}: not a hemafeat model: a part is missing") from None
    except Exception as error:  # zipfile, zlib and json raise many kinds for damaged files
        raise ModelError(
            f"{path}: not a hemafeat model, or truncated ({error}); pickle files are never read"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path}: not a hemafeat model")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {manifest.get('format_version')}; this package reads "
            f"{FORMAT_VERSION}"
        )
    return manifest, data


def _unknown_types(data: bytes) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(_TRUSTED))


def _warn_of_versions(saved: Mapping[str, str], path: Path) -> None:
    name = "scikit-learn"
    current = versions([name]).get(name, "")
    if name in saved and saved[name].split(".")[:2] != current.split(".")[:2]:
        warnings.warn(
            f"{path}: saved with {name} {saved[name]}, read with {current}; "
            "check its predictions, or fit it again",
            stacklevel=3,
        )


def check_parts(model: Any) -> None:
    """Raise an error if a step would call a function of the file, or lead libsvm astray.

    Parameters
    ----------
    model : object
        Estimator, whose attributes are searched for such steps.

    Raises
    ------
    ValueError
        If families, a segmenter or a normaliser are not given by name, a scorer is not the default
        one, or the arrays of a support-vector machine do not fit each other.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.metrics._scorer import _BaseScorer
    from sklearn.svm._base import BaseLibSVM

    normalisers = (*map(type, map(images.normaliser, images.NORMALISERS)), str, type(None))
    for step in _parts(model, set()):
        if isinstance(step, BaseLibSVM) and hasattr(step, "support_vectors_"):
            _check_vectors(step)
        if isinstance(step, _BaseScorer) and step._score_func is not balanced_accuracy_score:
            raise ValueError("a threshold was tuned by another score than the balanced accuracy")
        if not isinstance(step, extract.CellFeatures):
            continue
        families = [step.families] if isinstance(step.families, str) else step.families
        named = {
            "families": isinstance(families, list) and all(isinstance(f, str) for f in families),
            "segmenter": isinstance(step.segmenter, str),
            "masks": step.masks is None or isinstance(step.masks, str),
            "normalise": isinstance(step.normalise, normalisers)
            and isinstance(getattr(step, "normalise_", None), normalisers),
        }
        for name, is_name in named.items():
            if not is_name:
                raise ValueError(f"{name} of CellFeatures must be given by name")


def _add_parameters(model: Any) -> None:
    """Give steps that a newer scikit-learn wrote the parameters which only this one still has."""
    from sklearn.base import BaseEstimator

    for step in _parts(model, set()):
        if isinstance(step, BaseEstimator):
            for name, parameter in signature(type(step)).parameters.items():
                if parameter.default is not parameter.empty and not hasattr(step, name):
                    setattr(step, name, parameter.default)


def _check_vectors(svm: Any) -> None:
    """Raise an error if the arrays of a support-vector machine, which libsvm trusts, are broken."""
    counts = np.asarray(svm._n_support)
    n, n_classes = len(svm.support_vectors_), len(svm.classes_)
    n_pairs = n_classes * (n_classes - 1) // 2
    sound = (
        not svm._sparse
        and counts.shape == (n_classes,)
        and (counts >= 0).all()
        and counts.sum() == n
        and np.shape(svm.support_) == (n,)
        and np.shape(svm.support_vectors_) == (n, svm.n_features_in_)
        and svm.shape_fit_[1] == svm.n_features_in_
        and np.shape(svm._dual_coef_) == (n_classes - 1, n)
        and np.shape(svm._intercept_) == (n_pairs,)
        and len(svm._probA) in (0, n_pairs)
        and len(svm._probB) == len(svm._probA)
    )
    if not sound:
        raise ValueError("a support-vector machine in it is broken")


def _parts(item: Any, visited: set[int]) -> Iterator[Any]:
    """Yield an object and everything that it holds."""
    if id(item) in visited or isinstance(item, (str, bytes, int, float, type(None))):
        return
    visited.add(id(item))
    yield item
    if isinstance(item, dict):
        held: Any = item.values()
    elif isinstance(item, (list, tuple, set)):
        held = item
    elif isinstance(item, np.ndarray):
        held = item.ravel() if item.dtype == object else ()
    elif type(item).__module__.startswith(_OWNERS):
        held = list(vars(item).values()) if hasattr(item, "__dict__") else ()
    else:
        held = ()  # networks are built by this package from numbers
    for part in held:
        yield from _parts(part, visited)


def check_trees(model: Any) -> None:
    """Raise an error if a node of a decision tree points outside the tree or the columns.

    A crafted tree could otherwise read foreign memory, or never end.

    Parameters
    ----------
    model : object
        Estimator, whose attributes are searched for trees.

    Raises
    ------
    ValueError
        If a tree is broken.
    """
    for tree, n_features in _trees(model, None, set()):
        node = np.arange(tree.node_count)
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        inner = left != -1
        # Children are stored after their parent, which also excludes cycles.
        sound = (
            tree.node_count > 0
            and np.array_equal(inner, right != -1)
            and all(
                (child[inner] > node[inner]).all() and (child[inner] < tree.node_count).all()
                for child in (left, right)
            )
            and (feature[inner] >= 0).all()
            and (feature[inner] < tree.n_features).all()
            and all(tree.n_features == n for n in n_features)
        )
        if not sound:
            raise ValueError("a decision tree in it is broken")


def _trees(item: Any, forest: int | None, visited: set[int]) -> Iterator[tuple[Any, list[int]]]:
    """Yield every tree that an object holds, with the numbers of columns of its holders."""
    from sklearn.ensemble._forest import BaseForest
    from sklearn.tree import BaseDecisionTree

    if id(item) in visited or isinstance(item, (str, bytes, int, float, type(None))):
        return
    if type(item).__module__.startswith(("hemafeat.networks", "keras")):
        return  # networks are built by this package from numbers and hold no trees
    visited.add(id(item))
    if isinstance(item, dict):
        parts: Any = item.values()
    elif isinstance(item, (list, tuple)) or (isinstance(item, np.ndarray) and item.dtype == object):
        parts = np.asarray(item, dtype=object).ravel() if isinstance(item, np.ndarray) else item
    else:
        parts = list(getattr(item, "__dict__", {}).values())
    if isinstance(item, BaseDecisionTree) and hasattr(item, "tree_"):
        own = [int(item.n_features_in_)]
        yield item.tree_, own if forest is None else [*own, forest]
    if isinstance(item, BaseForest) and hasattr(item, "n_features_in_"):
        forest = int(item.n_features_in_)
    for part in parts:
        yield from _trees(part, forest, visited)
