"""Zernike moments of a mask and of the stain in it."""

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

_COLUMNS = {
    f"{prefix}_{n}_{m}": Column(
        "1",
        f"|{n + 1} / pi sum p V*_{n}{m}| over the mask, {weights}, on the unit disc about its "
        "centroid",
        _SOURCE,
        f"One of the numbers that together code {coded}, in whatever position, with more detail "
        f"the "
        "higher the first number in the name; none has a meaning alone.",
    )
    for prefix, weights, coded in (
        ("mask", "p = 1 / area", "the outline of the part"),
        ("od", "p = OD_G / sum OD_G, OD_G >= 0", "how the stain is spread over the part"),
    )
    for n, m in ORDERS
}
"""All moments, in the order of the kernel."""

# Constant for every region: order 0, and order 1 of the mask.
_KEPT = [name for name in _COLUMNS if name not in ("mask_0_0", "mask_1_1", "od_0_0")]


def _weights() -> np.ndarray:
    """Return the weights of x^p y^q, at [q, p], in the real and imaginary parts: (10, 10, 60).

    ``V_nm = R_nm(r) exp(i m t)`` is a sum of terms ``c (x^2 + y^2)^k (x + i y)^m``.
    """
    weights = np.zeros((DEGREE + 1, DEGREE + 1, 2 * len(ORDERS)))
    for index, (n, m) in enumerate(ORDERS):
        for k in range((n - m) // 2 + 1):
            s = (n - m) // 2 - k
            c = (-1) ** s * factorial(n - s)
            c //= factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s)
            for i in range(k + 1):
                for j in range(m + 1):
                    # (x^2)^(k-i) (y^2)^i times x^(m-j) (i y)^j
                    value = (n + 1) / np.pi * c * comb(k, i) * comb(m, j) * 1j**j
                    p, q = 2 * (k - i) + m - j, 2 * i + j
                    weights[q, p, index] += value.real
                    weights[q, p, len(ORDERS) + index] += value.imag
    return weights


_WEIGHTS = _weights()
_INDICES = np.array([list(_COLUMNS).index(name) for name in _KEPT])


@family(
    {name: _COLUMNS[name] for name in _KEPT},
    masks=("nucleus", "cell"),
    prepared=True,
    white=True,
    default=False,
    reference="Teague, J. Opt. Soc. Am. 70:920-930 (1980)",
)
def zernike(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Compute the Zernike moments of a mask and of the stain in it, up to degree 9.

    Magnitudes do not change when the cell is moved or turned, and hardly when it is enlarged.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image. The white level of an image that is not prepared is measured outside `labels`,
        see `background_white`.
    labels : (H, W) ndarray of int
        Regions numbered 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows of the result. By default the largest label.

    Returns
    -------
    (n_cells, 57) ndarray of float64
        ``mask_n_m`` for n = 2..9, then ``od_n_m`` for n = 1..9, each with m = 0 or 1 ... n - 2, n.
        NaN where a mask has no pixel; moments of the stain are also NaN where there is no stain.

    Notes
    -----
    The unit disc lies about the centroid of the mask; its radius is the largest distance of a pixel
    from the centroid plus half a pixel. Values are normalised to a sum of 1. The moment of order 0
    is then constant, and that of order 1 of the mask is 0; both are left out. Green optical density
    below 0 counts as 0. Values equal those of ``mahotas.features.zernike_moments`` with this radius
    and centre.

    References
    ----------
    .. [1] M. R. Teague, "Image analysis via the general theory of moments", J. Opt. Soc. Am. 70,
       920-930, 1980.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.zernike(cell.image, cell.nucleus)
    >>> values.shape
    (1, 57)
    >>> row = dict(zip(extract.zernike.facts.columns, values[0].tolist(), strict=True))
    >>> round(row["mask_2_2"], 2)
    0.16
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    regions = prepared.regions(labels, n_cells)
    density = np.maximum(prepared.density_lut(labels)[1], 0.0)
    moments = _kernel.measure(
        prepared.plane("g"), density, regions.run_starts, regions.runs, regions.boxes, _WEIGHTS
    )
    return np.asarray(moments.reshape(n_cells, -1)[:, _INDICES])
