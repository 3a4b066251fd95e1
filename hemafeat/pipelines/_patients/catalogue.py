"""Models of patients by name: baselines, one to one, many to one, rules and stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from hemafeat.pipelines import _models
from hemafeat.pipelines._patients.attribute_models import (
    PenalisedLogistic,
    attributes_only,
    date_format_only,
)
from hemafeat.pipelines._patients.rules import DecisionRule, PatientStack
from hemafeat.pipelines._patients.stain_only import stain_only
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._patients.vote import CellVote
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler

_TABLES: dict[str, tuple[str, ...]] = {
    "means": ("mean",),
    "statistics": ("mean", "sd", "p10", "p50", "p90"),
    "extremes": ("min", "max", "top_k"),
    "prototypes": ("prototypes",),
    "fisher": ("fisher",),
}
_MODELS = ("logistic", "svc", "random_forest", "xgboost")


def patient_baseline() -> Pipeline:
    """Always the most frequent label, with the shares of the labels as probabilities.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``count`` (which is not looked at), ``model``.
    """
    steps = [("count", PatientTable("count")), ("model", DummyClassifier(strategy="prior"))]
    return Pipeline(steps)


def bag_size_only() -> Pipeline:
    """Logistic regression on the number of cells: what is known before a cell is looked at.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``count``, ``scale``, ``model``. Takes rows of `bags`.

    Notes
    -----
    A model that cannot beat this one may have learned nothing else. In the public lymphocytosis set
    the median number of images is 95 for malignant and 52 for reactive patients.
    """
    steps = [
        ("count", PatientTable("count")),
        ("scale", ClippedScaler()),
        ("model", PenalisedLogistic()),
    ]
    return Pipeline(steps)


def patient_table(
    model: str = "logistic",
    statistics: str | Sequence[str] = "statistics",
    *,
    random_state: int = 0,
    **params: Any,
) -> Pipeline:
    """Many to one: a patient is a row of statistics over the cells, judged by one model.

    Parameters
    ----------
    model : {"logistic", "svc", "random_forest", "xgboost"}
        Which model, as in `pipelines.make`.
    statistics : str or list of str
        Of `PatientTable`; or a set of them: ``"means"``, ``"statistics"`` (mean, sd, p10, p50,
        p90), ``"extremes"`` (min, max, top_k), ``"prototypes"``, ``"fisher"``.
    random_state : int
        Seed.
    **params
        Further parameters of `PatientTable`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``table``, those of the model, ``model``. Takes rows of `bags`.

    Raises
    ------
    ValueError
        No such model or set.
    """
    if model not in _MODELS:
        raise ValueError(f"no model {model!r} of a patient table; there are: {', '.join(_MODELS)}")
    if isinstance(statistics, str):
        if statistics not in _TABLES:
            raise ValueError(f"no set {statistics!r}; there are: {', '.join(_TABLES)}")
        statistics = _TABLES[statistics]
    table = PatientTable(statistics, random_state=random_state, **params)
    if model == "logistic":
        return Pipeline(
            [
                ("table", table),
                ("fill", FillMissing()),
                ("scale", ClippedScaler()),
                ("model", PenalisedLogistic(C=0.01, random_state=random_state)),
            ]
        )
    seeded = {} if model == "svc" else {"random_state": random_state}
    makers: dict[str, Callable[..., Pipeline]] = {
        "svc": _models.svc,
        "random_forest": _models.random_forest,
        "xgboost": _models.xgboost,
    }
    # Without the step that picks columns by name: the table is an array by then.
    return Pipeline([("table", table), *makers[model](**seeded).steps[1:]])


def cell_vote(
    model: str = "logistic", aggregate: str = "mean", *, positive: Any = None, random_state: int = 0
) -> CellVote:
    """One to one: each cell is judged, with its patient's label to learn from, then they vote.

    Parameters
    ----------
    model : str
        One of `pipelines.names`.
    aggregate : {"mean", "majority", "min", "max"}
        See `CellVote`.
    positive : str, optional
        See `CellVote`.
    random_state : int
        Seed.

    Returns
    -------
    CellVote
    """
    from hemafeat.pipelines._catalogue import make

    cells = make(model)
    keys = [key for key in cells.get_params() if key.split("__")[-1] == "random_state"]
    cells.set_params(columns__columns="all", **dict.fromkeys(keys, random_state))
    return CellVote(cells, aggregate, positive)


def _joined(how: str, random_state: int) -> Any:
    models = [
        ("cells", patient_table(random_state=random_state)),
        ("attributes", attributes_only(random_state=random_state)),
    ]
    if how == "stack":
        return PatientStack(models, random_state=random_state)
    return DecisionRule(models, how)


def _mil(pooling: str, random_state: int) -> Any:
    from hemafeat.pipelines._patients.mil import MILClassifier

    return MILClassifier(pooling, random_state=random_state)


def _image_mil(pooling: str, random_state: int) -> Any:
    from hemafeat.pipelines._patients.mil_images import MILImageClassifier

    return MILImageClassifier(pooling, random_state=random_state)


_CATALOGUE: dict[str, Callable[[int], Any]] = {
    "baseline": lambda seed: patient_baseline(),
    "bag_size": lambda seed: bag_size_only(),
    "table_means": lambda seed: patient_table("logistic", "means", random_state=seed),
    "table_logistic": lambda seed: patient_table("logistic", random_state=seed),
    "table_random_forest": lambda seed: patient_table("random_forest", random_state=seed),
    "table_xgboost": lambda seed: patient_table("xgboost", random_state=seed),
    "table_svc": lambda seed: patient_table("svc", random_state=seed),
    "prototypes": lambda seed: patient_table("random_forest", "prototypes", random_state=seed),
    "fisher": lambda seed: patient_table("logistic", "fisher", random_state=seed),
    "vote_mean": lambda seed: cell_vote("logistic", "mean", random_state=seed),
    "vote_majority": lambda seed: cell_vote("logistic", "majority", random_state=seed),
    "vote_min": lambda seed: cell_vote("logistic", "min", random_state=seed),
    "vote_max": lambda seed: cell_vote("logistic", "max", random_state=seed),
}
_WITH_ATTRIBUTES: dict[str, Callable[[int], Any]] = {
    "metadata": lambda seed: attributes_only(random_state=seed),
    "attributes": lambda seed: attributes_only(grid="short", random_state=seed),
    "weighted": lambda seed: _joined("weighted", seed),
    "min": lambda seed: _joined("min", seed),
    "max": lambda seed: _joined("max", seed),
    "stack": lambda seed: _joined("stack", seed),
}
_ASKED: dict[str, Callable[[int], Any]] = {
    "stain": lambda seed: stain_only(),
    "date_format": lambda seed: date_format_only(),
}
_DEEP: dict[str, Callable[[int], Any]] = {
    "attention": lambda seed: _mil("attention", seed),
    "gated_attention": lambda seed: _mil("gated", seed),
    "batch_weighted": lambda seed: _mil("batch_weighted", seed),
    "mil_mean": lambda seed: _mil("mean", seed),
    "mil_max": lambda seed: _mil("max", seed),
}
_IMAGES: dict[str, Callable[[int], Any]] = {
    "image_attention": lambda seed: _image_mil("attention", seed),
    "image_gated_attention": lambda seed: _image_mil("gated", seed),
    "image_batch_weighted": lambda seed: _image_mil("batch_weighted", seed),
    "image_mean": lambda seed: _image_mil("mean", seed),
    "image_max": lambda seed: _image_mil("max", seed),
}


def patient_names(
    *, attributes: bool = False, deep: bool = False, images: bool = False
) -> list[str]:
    """Names of the models of patients, the baselines first.

    Parameters
    ----------
    attributes : bool
        Also those that need attributes.
    deep : bool
        Also those that need Keras (extra ``deep``).
    images : bool
        Also those that read the images, which need Keras too.

    Returns
    -------
    list of str
    """
    more = [(attributes, _WITH_ATTRIBUTES), (deep, _DEEP), (images, _IMAGES)]
    return [*_CATALOGUE, *(name for wanted, names in more if wanted for name in names)]


def make_patient(name: str, *, random_state: int = 0) -> Any:
    """A model of patients by name.

    Parameters
    ----------
    name : str
        One of `patient_names`, ``"stain"`` or ``"date_format"``.
    random_state : int
        Seed.

    Returns
    -------
    estimator
        Unfitted; takes rows of `bags`.

    Raises
    ------
    ValueError
        There is no model of that name.
    ImportError
        It needs Keras, which is not installed.
    """
    known = {**_CATALOGUE, **_WITH_ATTRIBUTES, **_ASKED, **_DEEP, **_IMAGES}
    if name not in known:
        raise ValueError(f"no model of patients {name!r}; there are: {', '.join(known)}")
    return known[name](random_state)
