"""Fitted models on disk, without pickle: one file that says what the model needs."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat import __version__
from hemafeat._files import write_whole
from hemafeat.pipelines._model import Model, ModelError, columns_of
from hemafeat.pipelines._patients.model import PatientModel, needs

FORMAT = "hemafeat model"
FORMAT_VERSION = 1

_MANIFEST = "manifest.json"
_MODEL = "model.skops"
_SCHEMA = "schema.json"
_PACKAGES = ("scikit-learn", "numpy", "xgboost", "skops", "imbalanced-learn")

# What may be built from a file besides types of scikit-learn and NumPy themselves, by exact name.
_TRUSTED = (
    "hemafeat.networks.Embedding",
    "hemafeat.pipelines.DateFormat",
    "hemafeat.pipelines.PatientAttributes",
    "hemafeat.pipelines.PenalisedLogistic",
    "hemafeat.pipelines.MILImageClassifier",
    "hemafeat.pipelines.MILClassifier",
    "hemafeat.pipelines.BoostedTrees",
    "hemafeat.pipelines.FeatureColumns",
    "hemafeat.pipelines.GreyPixels",
    "hemafeat.pipelines.WeightedVote",
    "hemafeat.pipelines.GroupedBagging",
    "hemafeat.pipelines.GroupedFolds",
    "hemafeat.pipelines.FillMissing",
    "hemafeat.pipelines.NeighbourhoodCorrection",
    "hemafeat.pipelines.NetworkClassifier",
    "hemafeat.pipelines.DecisionRule",
    "hemafeat.pipelines.PatientStack",
    "hemafeat.pipelines.PatientTable",
    "hemafeat.pipelines.CellVote",
    "hemafeat.pipelines.Fisher",
    "hemafeat.pipelines.Prototypes",
    "hemafeat.pipelines.ClippedScaler",
    "hemafeat.pipelines.BackgroundMeans",
    "hemafeat.pipelines.SupportVectors",
    "hemafeat.pipelines.PartialWhitening",
    "imblearn.over_sampling._smote.base.SMOTE",
    "imblearn.pipeline.Pipeline",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
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
    """Write a fitted pipeline to one file.

    Parameters
    ----------
    model : estimator or Model
        Fitted on a DataFrame, or a model of patients, fitted on rows of `bags`. Of a search
        (`GridSearchCV`) the best estimator is taken.
    path : path
        The file; ``.hemafeat`` is the usual ending. Replaced whole or not at all.
    units : mapping of str to str, optional
        Unit of each column, `extract.units(table)`. With it, a table in other units is refused
        later.
    note : str
        Free text kept with the model: data, protocol, scores.
    patient : str
        Of a model of patients, the column that says whose cell it is.
    measured : mapping of str to str, optional
        Of a model of patients, how its cells were measured; see `PatientModel`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        The model is not fitted, was fitted without column names, or holds a type that `load` would
        refuse.
    """
    import skops.io

    if isinstance(model, PatientModel):
        patient, measured = model.patient, measured or model.measured
    if isinstance(model, Model):
        units, note, model = units or model.units, note or model.note, model.pipeline
    model = getattr(model, "best_estimator_", model)
    of_patients = needs(model)
    columns = columns_of(model) if of_patients is None else of_patients.columns
    try:
        data = skops.io.dumps(model)
    except Exception as error:  # skops raises many kinds for what it does not know
        raise ModelError(f"the model cannot be stored: {error}") from error
    if unknown := _unknown(data):
        raise ModelError(f"the model holds types that `load` would refuse: {unknown}")
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "columns": columns,
        "units": {name: units[name] for name in columns if name in units} if units else {},
        "classes": [str(name) for name in model.classes_],
        "families": sorted({name.split("__")[1] for name in columns if "__" in name}),
        "dtype": "float64",
        "versions": _versions(),
        "note": note,
    }
    if of_patients is not None:
        manifest["patients"] = {
            "patient": patient,
            "attributes": of_patients.attributes,
            "beside": of_patients.beside,
            "measured": dict(measured or {}),
        }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)

    def fill(aside: Path) -> None:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as box:
            box.writestr(_MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
            box.writestr(_MODEL, data)

    write_whole(path, fill)
    return path


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that `save` wrote.

    No code from the file is run: only types of scikit-learn, NumPy and this package are built, each
    by its exact name, and the nodes of trees are checked.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Model
        The fitted pipeline with its columns, units and classes; a `PatientModel` if it judges
        patients.

    Raises
    ------
    ModelError
        The file is missing, is no model, is cut short, or names a type that is not known.
    """
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io.exceptions import UntrustedTypesFoundException

    path = Path(path)
    manifest, data = _read(path)
    try:
        with warnings.catch_warnings():
            # scikit-learn says it once per step; it is said once for all below.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            data = _with_public_names(data)
            pipeline = skops.io.loads(data, trusted=list(_TRUSTED))
        check_trees(pipeline)
        told: dict[str, Any] = {
            "pipeline": pipeline,
            "columns": _strings(manifest["columns"]),
            "classes": _strings(manifest["classes"]),
            "units": _words(manifest["units"]),
            "versions": _words(manifest["versions"]),
            "note": str(manifest["note"]),
            "name": path.name,
        }
        found = needs(pipeline)
        if found is None:
            model = Model(**told)
            fits = columns_of(pipeline) == model.columns
        else:
            more = manifest["patients"]
            model = PatientModel(
                **told,
                patient=str(more["patient"]),
                attributes=_strings(more["attributes"]),
                beside=_strings(more["beside"]),
                measured=_words(more["measured"]),
            )
            seen = (model.columns, model.attributes, model.beside)
            fits = seen == (found.columns, found.attributes, found.beside)
    except UntrustedTypesFoundException:
        raise ModelError(
            f"{path}: refused, it holds types that are not known: {_unknown(data)}"
        ) from None
    except Exception as error:  # a file made by hand can fail anywhere
        raise ModelError(f"{path}: the model cannot be built: {error}") from error
    if not fits:
        raise ModelError(f"{path}: the columns of the manifest are not those of the model")
    _warn_of_versions(model.versions, path)
    return model


def _with_public_names(data: bytes) -> bytes:
    """Name our classes by their package in a model of version 0.1, which names private files."""
    with zipfile.ZipFile(io.BytesIO(data)) as box:
        parts = {name: box.read(name) for name in box.namelist()}
    schema = json.loads(parts[_SCHEMA])
    if not _rename(schema):
        return data
    parts[_SCHEMA] = json.dumps(schema).encode()
    renamed = io.BytesIO()
    with zipfile.ZipFile(renamed, "w") as box:
        for name, part in parts.items():
            box.writestr(name, part)
    return renamed.getvalue()


def _rename(schema: Any) -> int:
    """Replace private modules by packages in a schema of skops; return how many there were."""
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


def _words(values: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in values.items()}


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as box:
            manifest = json.loads(box.read(_MANIFEST).decode("utf-8"))
            data = box.read(_MODEL)
    except KeyError:
        raise ModelError(f"{path}: not a hemafeat model: a part is missing") from None
    except (
        zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError
    ) as error:  # fmt: skip
        raise ModelError(
            f"{path}: not a hemafeat model, or cut short ({error}); pickle files are never read"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path}: not a hemafeat model")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {manifest.get('format_version')}; this package reads "
            f"{FORMAT_VERSION}"
        )
    return manifest, data


def _unknown(data: bytes) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(_TRUSTED))


def _versions() -> dict[str, str]:
    found = {"hemafeat": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _warn_of_versions(saved: Mapping[str, str], path: Path) -> None:
    name = "scikit-learn"
    here = _versions().get(name, "")
    if name in saved and saved[name].split(".")[:2] != here.split(".")[:2]:
        warnings.warn(
            f"{path}: saved with {name} {saved[name]}, read with {here}; "
            "check its predictions, or fit it again",
            stacklevel=3,
        )


def check_trees(model: Any) -> None:
    """Refuse trees whose nodes point outside the tree or outside the columns.

    A tree made by hand could otherwise read memory that is not its own, or never end.

    Parameters
    ----------
    model : object
        An estimator, with whatever it holds.

    Raises
    ------
    ValueError
        A tree is broken.
    """
    for tree, n_features in _trees(model, None, set()):
        node = np.arange(tree.node_count)
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        inner = left != -1
        # Children are stored after their parent, which also rules out rings.
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


def _trees(item: Any, forest: int | None, seen: set[int]) -> Iterator[tuple[Any, list[int]]]:
    """Every tree below an object, with the numbers of columns its holders let through."""
    from sklearn.ensemble._forest import BaseForest
    from sklearn.tree import BaseDecisionTree

    if id(item) in seen or isinstance(item, (str, bytes, int, float, type(None))):
        return
    if type(item).__module__.startswith(("hemafeat.networks", "keras")):
        return  # built by this package from numbers, and no place for a tree
    seen.add(id(item))
    if isinstance(item, dict):
        below: Any = item.values()
    elif isinstance(item, (list, tuple)) or (isinstance(item, np.ndarray) and item.dtype == object):
        below = np.asarray(item, dtype=object).ravel() if isinstance(item, np.ndarray) else item
    else:
        below = list(getattr(item, "__dict__", {}).values())
    if isinstance(item, BaseDecisionTree) and hasattr(item, "tree_"):
        own = [int(item.n_features_in_)]
        yield item.tree_, own if forest is None else [*own, forest]
    if isinstance(item, BaseForest) and hasattr(item, "n_features_in_"):
        forest = int(item.n_features_in_)
    for part in below:
        yield from _trees(part, forest, seen)
