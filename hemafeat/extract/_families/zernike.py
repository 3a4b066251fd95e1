"""Shape and spread of stain by Zernike moments."""

from __future__ import annotations

from math import comb, factorial

import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import zernike as _kernel
from hemafeat.extract._prepared import Prepared, prepare

DEGREE = 9

ORDERS = [(n, m) for n in range(DEGREE + 1) for m in range(n + 1) if (n - m) % 2 == 0]
"""Order n and repetition m of each moment."""

_SOURCE = "Teague 1980; mahotas.features.zernike_moments"


def _columns() -> dict[str, Column]:
    found: dict[str, Column] = {}
    for prefix, what, first in (
        ("mask", "p = 1 / area", 2),
        ("od", "p = OD_G / sum OD_G, OD_G at least 0", 1),
    ):
        for n, m in ORDERS:
            if n >= first:
                found[f"{prefix}_{n}_{m}"] = Column(
                    "1",
                    f"|{n + 1} / pi sum p V*_{n}{m}| over the mask, {what}, on the unit disk about "
                    "its centre of gravity",
                    _SOURCE,
                )
    return found


def _weights() -> np.ndarray:
    """(10, 10, 60): weight of x^p y^q, at [q, p], in the real and imaginary parts.

    ``V_nm = R_nm(r) exp(i m t)`` is a sum of terms ``c (x^2 + y^2)^k (x + i y)^m``.
    """
    found = np.zeros((DEGREE + 1, DEGREE + 1, 2 * len(ORDERS)))
    for place, (n, m) in enumerate(ORDERS):
        for k in range((n - m) // 2 + 1):
            s = (n - m) // 2 - k
            c = (-1) ** s * factorial(n - s)
            c //= factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s)
            for i in range(k + 1):
                for j in range(m + 1):
                    # (x^2)^(k-i) (y^2)^i times x^(m-j) (i y)^j
                    value = (n + 1) / np.pi * c * comb(k, i) * comb(m, j) * 1j**j
                    p, q = 2 * (k - i) + m - j, 2 * i + j
                    found[q, p, place] += value.real
                    found[q, p, len(ORDERS) + place] += value.imag
    return found


_WEIGHTS = _weights()
_MASK = np.array([n >= 2 for n, _ in ORDERS])
_DENSITY = np.array([n >= 1 for n, _ in ORDERS])
_KEPT = np.flatnonzero(np.concatenate([_MASK, _DENSITY]))


@family(
    _columns(),
    masks=("nucleus", "cell"),
    prepared=True,
    white=True,
    default=False,
    reference="Teague, J. Opt. Soc. Am. 70:920-930 (1980)",
)
def zernike(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Zernike moments of the mask and of the stain in it, up to the degree 9.

    Magnitudes do not change when the cell is moved or turned, and hardly when it is enlarged.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB. The white of a bare image is measured outside `labels`; see `background_white`.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; default is the largest label.

    Returns
    -------
    (n_cells, 57) ndarray of float64
        ``mask_n_m`` for n = 2..9, then ``od_n_m`` for n = 1..9, with m = n, n - 2 ... 0 or 1 from
        the least. NaN where a mask has no pixel, and of the stain where there is none.

    Notes
    -----
    The disk lies about the centre of gravity of the mask; its radius is the largest distance of a
    pixel from there, plus half a pixel. Values are normalised to the sum 1, which makes the moment
    of order 0 a constant, and that of order 1 of the mask 0; both are left out. Green optical
    density below 0 counts as 0. Equal to ``mahotas.features.zernike_moments`` with that radius and
    centre.

    References
    ----------
    .. [1] M. R. Teague, "Image analysis via the general theory of moments", J. Opt. Soc. Am. 70,
       920-930, 1980.
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    where = prepared.regions(labels, n_cells)
    density = np.maximum(prepared.density_lut(labels)[1], 0.0)
    found = _kernel.measure(
        prepared.plane("g"), density, where.run_starts, where.runs, where.boxes, _WEIGHTS
    )
    return found.reshape(n_cells, -1)[:, _KEPT]
