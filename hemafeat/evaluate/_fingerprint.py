"""A hash that says whether two comparisons saw the same cells."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd


def row_digests(features: pd.DataFrame, truth: np.ndarray, groups: np.ndarray) -> list[bytes]:
    """One digest per row from its values, label and group.

    Parameters
    ----------
    features : (n_rows, n_features) DataFrame of numbers
        Columns are taken in the order of their names.
    truth, groups : (n_rows,) ndarray of str
        Label and group of each row.
    """
    columns = sorted(features.columns)
    values = features[columns].to_numpy(dtype=np.float64, na_value=np.nan).copy()
    # One bit pattern for NaN, and -0 is 0.
    values[np.isnan(values)] = np.nan
    values += 0.0
    found = []
    for row, label, group in zip(np.ascontiguousarray(values), truth, groups, strict=True):
        digest = hashlib.blake2b(row.tobytes(), digest_size=16)
        digest.update(f"\0{label}\0{group}".encode())
        found.append(digest.digest())
    return found


def fingerprint(features: pd.DataFrame, truth: np.ndarray, groups: np.ndarray) -> str:
    """Hash of a set of cells; the order of rows and columns does not matter.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(features.columns):
        whole.update(str(name).encode() + b"\0")
    for digest in sorted(row_digests(features, truth, groups)):
        whole.update(digest)
    return whole.hexdigest()
