"""A drawn cohort as a table of features, without any image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hemafeat.datasets._drawn.cohort_plan import ATTRIBUTES, CohortPlan, patients

_CELLS = 8


def drawn_bags(
    n_patients: int = 40,
    *,
    ill: float = 0.5,
    abnormal: tuple[float, float] = (0.05, 0.4),
    cells: tuple[int, int] = (20, 60),
    n_features: int = 12,
    n_informative: int = 3,
    effect: float = 2.0,
    patient_spread: float = 0.5,
    missing: float = 0.0,
    attribute_signal: float = 0.0,
    leak_size: float = 0.0,
    leak_format: float = 0.0,
    leak_stain: float = 0.0,
    test: float = 0.0,
    random_state: int = 0,
) -> pd.DataFrame:
    """Draw a cohort as a table of cells: numbers of known origin, where images would be.

    A cell is a draw from a normal distribution about its patient's own mean. The abnormal ones are
    moved in the first features, and the share of abnormal cells is what tells the ill from the
    others; that, and the leaks asked for.

    Parameters
    ----------
    n_patients : int
        Patients, ``P1`` to ``P<n_patients>``.
    ill : float
        Share of the patients labelled ``malignant``; the others are ``reactive``.
    abnormal : (float, float)
        Mean share of abnormal cells among the reactive and the malignant. Two equal numbers plant
        no signal.
    cells : (int, int)
        Least and most cells of a patient.
    n_features, n_informative : int
        Features, ``cell__drawn__f00`` and so on, and how many of them abnormal cells differ in.
    effect : float
        By how much, in standard deviations of the cells of one patient.
    patient_spread : float
        Standard deviation of the patients' own means, in the same unit: what makes cells of one
        patient alike.
    missing : float
        Share of the values that are missing.
    attribute_signal : float
        How much sicker the ill look in age and lymphocyte count; 0 for not at all.
    leak_size, leak_format, leak_stain : float
        From 0 to 1: how much the number of cells, the way the date of birth is written, and a
        shift of the last feature (a batch of stain) go with the label.
    test : float
        Share of the patients whose ``split`` is ``test``.
    random_state : int
        Seed.

    Returns
    -------
    DataFrame
        One row per cell: ``image`` (a name, no file), ``cell``, ``label``, ``patient``, ``group``,
        ``split``, the attributes ``sex`` (``M``, ``f``, ...), ``dob`` (text) and
        ``lymphocyte_count`` of the patient, ``abnormal`` (the truth of the cell), and the features.

    Raises
    ------
    ValueError
        A number out of range.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn_bags(10, abnormal=(0.0, 0.5), random_state=1)
    >>> table.groupby("label")["abnormal"].mean().round(1).to_dict()
    {'malignant': 0.5, 'reactive': 0.0}
    """
    plan = CohortPlan(
        n_patients,
        ill,
        abnormal,
        cells,
        attribute_signal,
        leak_size,
        leak_format,
        leak_stain,
        test,
        random_state,
    )
    if not 1 <= n_informative <= n_features:
        raise ValueError(f"n_informative is {n_informative}, expected 1 to {n_features}")
    if not 0 <= missing < 1:
        raise ValueError(f"missing is {missing}, expected a share from 0 to below 1")
    who = patients(plan)
    tables, features = [], []
    for number, row in enumerate(who.to_dict("records")):
        rng = np.random.default_rng([random_state, _CELLS, number])
        n = row["n_cells"]
        sick = rng.random(n) < row["abnormal_share"]
        values = rng.normal(size=(n, n_features))
        values += patient_spread * rng.normal(size=n_features)
        values[:, :n_informative] += effect * sick[:, None]
        values[:, -1] += 2.0 * (row["stained"] - 0.5)
        values[rng.random(values.shape) < missing] = np.nan
        features.append(values)
        name = row["patient"]
        part = {
            "image": [f"{name}/{i:06d}.png" for i in range(n)],
            "cell": 1,
            "label": row["label"],
            "patient": name,
            "group": name,
            "split": row["split"],
            **{key: row[key] for key in ATTRIBUTES},
            "abnormal": sick,
        }
        tables.append(pd.DataFrame(part))
    names = [f"cell__drawn__f{j:02d}" for j in range(n_features)]
    measured = pd.DataFrame(np.concatenate(features), columns=names)
    return pd.concat([pd.concat(tables, ignore_index=True), measured], axis=1)
