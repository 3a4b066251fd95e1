"""Draw a cohort as a table of features, without images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hemafeat.datasets._drawn.cohort_plan import ATTRIBUTES, CohortPlan, patients

_CELLS = 8  # stream of random numbers


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
    """Draw a cohort as a table of cells with random features of known distribution.

    Features of a cell are normally distributed about the mean of its patient. Abnormal cells are
    shifted in the first features. Only the share of abnormal cells, and any leaks, distinguish
    malignant from reactive patients.

    Parameters
    ----------
    n_patients : int
        Number of patients, ``P1`` to ``P<n_patients>``.
    ill : float
        Share of patients labelled ``malignant``; the others are ``reactive``.
    abnormal : (float, float)
        Mean share of abnormal cells of reactive and of malignant patients. With equal values there
        is no signal.
    cells : (int, int)
        Smallest and largest number of cells of a patient.
    n_features, n_informative : int
        Number of features, ``cell__drawn__f00`` and so on, and of those in which abnormal cells
        differ.
    effect : float
        Shift of abnormal cells, in standard deviations of the cells of a patient.
    patient_spread : float
        Standard deviation of the means of patients, in the same unit. The larger it is, the more
        similar are cells of a patient.
    missing : float
        Share of missing values.
    attribute_signal : float
        Strength of the association of age and lymphocyte count with the label. By default 0: none.
    leak_size, leak_format, leak_stain : float
        Strength, from 0 to 1, of the association of the label with the number of cells, the format
        of the date of birth, and a shift of the last feature (a batch of stain). By default 0:
        none.
    test : float
        Share of patients whose ``split`` is ``test``.
    random_state : int
        Seed of the random numbers.

    Returns
    -------
    DataFrame
        One row per cell: ``image`` (a name without a file), ``cell``, ``label``, ``patient``,
        ``group``, ``split``, the attributes ``sex`` (``M``, ``f``, ...), ``dob`` (text) and
        ``lymphocyte_count`` of the patient, ``abnormal`` (the truth of the cell), and the features.

    Raises
    ------
    ValueError
        Raised if a number is out of range.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn_bags(10, abnormal=(0.0, 1.0), random_state=1)
    >>> table.groupby("label")["abnormal"].mean().to_dict()
    {'malignant': 1.0, 'reactive': 0.0}
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
        raise ValueError(f"n_informative is {n_informative}; expected 1 to {n_features}")
    if not 0 <= missing < 1:
        raise ValueError(f"missing is {missing}; expected a share of at least 0 and below 1")
    tables, features = [], []
    for number, row in enumerate(patients(plan).to_dict("records")):
        rng = np.random.default_rng([random_state, _CELLS, number])
        n = row["n_cells"]
        is_abnormal = rng.random(n) < row["abnormal_share"]
        values = rng.normal(size=(n, n_features))
        values += patient_spread * rng.normal(size=n_features)
        values[:, :n_informative] += effect * is_abnormal[:, None]
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
            "abnormal": is_abnormal,
        }
        tables.append(pd.DataFrame(part))
    names = [f"cell__drawn__f{j:02d}" for j in range(n_features)]
    feature_table = pd.DataFrame(np.concatenate(features), columns=names)
    return pd.concat([pd.concat(tables, ignore_index=True), feature_table], axis=1)
