"""Models of patients: statistics over the cells, votes of the cells, and combinations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from hemafeat import networks
from hemafeat.pipelines import _models
from hemafeat.pipelines._network_classifier import NetworkClassifier
from hemafeat.pipelines._patients.attribute_models import attributes_only
from hemafeat.pipelines._patients.fusion import DecisionRule, PatientStack
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._patients.vote import CellVote
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.penalised import PenalisedLogistic
from hemafeat.pipelines._steps.scale import ClippedScaler

_SETS: dict[str, tuple[str, ...]] = {
    "means": ("mean",),
    "statistics": ("mean", "sd", "p10", "p50", "p90"),
    "extremes": ("min", "max", "top_k"),
    "prototypes": ("prototypes",),
    "fisher": ("fisher",),
}
_CLASSIFIERS: dict[str, Callable[..., Pipeline]] = {
    "logistic": _models.logistic,
    "svc": _models.svc,
    "random_forest": _models.random_forest,
    "xgboost": _models.xgboost,
}


def patient_table(
    model: str = "logistic",
    statistics: str | Sequence[str] = "statistics",
    *,
    random_state: int = 0,
    **params: Any,
) -> Pipeline:
    """Classify patients by statistics over their cells.

    Parameters
    ----------
    model : {"logistic", "svc", "random_forest", "xgboost"}
        Classifier of the table of statistics. ``"logistic"`` has a strong L2 penalty (C = 0.01);
        the others are as in `make`.
    statistics : str or list of str
        Statistics of `PatientTable`, or the name of a set of them: ``"means"``, ``"statistics"``
        (mean, sd, p10, p50, p90), ``"extremes"`` (min, max, top_k), ``"prototypes"`` or
        ``"fisher"``.
    random_state : int
        Seed of the statistics that are learnt and of the classifier.
    **params
        Further parameters of `PatientTable`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the step ``table`` and those of the classifier, the last of which is
        ``model``. It takes rows of `bags`.

    Raises
    ------
    ValueError
        If there is no classifier or set of that name.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(12, random_state=0))
    >>> model = pipelines.patient_table("logistic", "means").fit(rows, rows["label"])
    >>> list(model.named_steps), model.predict(rows).shape
    (['table', 'fill', 'scale', 'model'], (12,))
    """
    if model not in _CLASSIFIERS:
        raise ValueError(
            f"there is no model {model!r} of a patient table; choose from {', '.join(_CLASSIFIERS)}"
        )
    if isinstance(statistics, str):
        if statistics not in _SETS:
            raise ValueError(
                f"there is no set {statistics!r} of statistics; choose from {', '.join(_SETS)}"
            )
        statistics = _SETS[statistics]
    table = ("table", PatientTable(statistics, random_state=random_state, **params))
    if model == "logistic":
        classifier = PenalisedLogistic(C=0.01, random_state=random_state)
        return Pipeline(
            [
                table,
                ("fill", FillMissing()),
                ("scale", ClippedScaler()),
                ("model", classifier),
            ]
        )
    # The first step of these pipelines selects columns by name, but the statistics are an array.
    steps = _models.build(_CLASSIFIERS[model], random_state).steps[1:]
    return Pipeline([table, *steps])


def cell_vote(
    model: str = "logistic",
    aggregate: str = "mean",
    *,
    positive: Any = None,
    labels: str = "soft",
    oversample: bool = False,
    random_state: int = 0,
    **params: Any,
) -> CellVote:
    """Classify every cell, then patients by the predictions for their cells.

    Parameters
    ----------
    model : str
        Classifier of the cells, one of ``pipelines.names()``, or of their images, the name of a
        network for `NetworkClassifier`.
    aggregate : {"mean", "majority", "min", "max"}
        Rule that turns the probabilities of the cells into one, see `CellVote`.
    positive : str, optional
        Class that ``"min"`` and ``"max"`` refer to, see `CellVote`.
    labels : {"soft", "hard"}
        What the rule combines, see `CellVote`.
    oversample : bool
        Whether cells of the rarer classes are repeated, see `CellVote`.
    random_state : int
        Seed of the classifier and of the cells that are repeated.
    **params
        Parameters of `NetworkClassifier`, if `model` is a network.

    Returns
    -------
    CellVote
        Unfitted. It takes rows of `bags`.

    Raises
    ------
    ValueError
        If there is no classifier of that name.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(12, random_state=0))
    >>> model = pipelines.cell_vote("logistic", "max").fit(rows, rows["label"])
    >>> model.predict_proba(rows).shape
    (12, 2)
    """
    makers = _models.ON_FEATURES
    cells: Any
    if model in networks.ARCHITECTURES or model.startswith("keras:"):
        cells = NetworkClassifier(model, random_state=random_state, **params)
    elif model not in makers:
        raise ValueError(
            f"there is no pipeline {model!r}; choose from {', '.join(makers)}, or a network"
        )
    elif params:
        raise ValueError(f"{model!r} takes no {next(iter(params))}: only a network does")
    else:
        cells = _models.build(makers[model], random_state).set_params(columns__columns="all")
    return CellVote(
        cells,
        aggregate,
        positive,
        labels=labels,
        oversample=oversample,
        random_state=random_state,
    )


def combine(rule: str, *, random_state: int = 0) -> DecisionRule | PatientStack:
    """Combine a model of the cells and one of the attributes, by a rule or by stacking."""
    models = [
        ("cells", patient_table(random_state=random_state)),
        ("attributes", attributes_only(random_state=random_state)),
    ]
    if rule == "stack":
        return PatientStack(models, random_state=random_state)
    return DecisionRule(models, rule)
