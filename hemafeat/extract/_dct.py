"""Texture by the discrete cosine transform, of the whole cell and of its 8x8 blocks."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import dct as _kernel
from hemafeat.extract._prepared import Prepared, Regions, prepare

SIZE = 64
N_COEFFICIENTS = 64
N_BANDS = 8
N_BLOCK_COEFFICIENTS = 9
GROUPS = {"low": (1, 2), "mid": (3, 6), "high": (7, 14)}
"""Sums u + v of the row and column of a coefficient of a block, from and to."""

_BOX = f"box resampled to {SIZE} x {SIZE}"
_WHOLE = "Ahmed et al. 1974 (type II, orthonormal); scipy.fft.dctn"
_BLOCKS = "Ahmed et al. 1974 (type II, orthonormal), blocks and zig-zag as in ITU-T T.81 (JPEG)"


def _summaries() -> dict[str, Column]:
    columns = {}
    for b in range(1, N_BANDS + 1):
        upper = f" and r < 64^({b}/8)" if b < N_BANDS else ""
        columns[f"band_energy_{b}"] = Column(
            "1",
            f"sum X^2 over r >= 64^({b - 1}/8){upper}, r^2 = u^2 + v^2, over sum X^2 without the "
            f"mean, {_BOX}",
            _WHOLE,
        )
    columns["slope"] = Column(
        "1",
        f"least-squares slope of log10 mean X^2 on log10 mean r over the {N_BANDS} bands, {_BOX}",
        _WHOLE,
    )
    columns["spectral_centroid"] = Column(
        "1", f"sum r X^2 / sum X^2, in half-cycles per box, {_BOX}", _WHOLE
    )
    for name, (first, last) in GROUPS.items():
        columns[f"block_{name}"] = Column(
            "1",
            f"share of coefficients {first} <= u + v <= {last} in sum X^2 without the mean, all "
            "8 x 8 blocks inside",
            _BLOCKS,
        )
    return columns


def _coefficients() -> dict[str, Column]:
    whole = {
        f"whole_{k:02d}": Column("1", f"log10(1 + |X_k|), k = {k} in zig-zag order, {_BOX}", _WHOLE)
        for k in range(1, N_COEFFICIENTS + 1)
    }
    return whole | {
        f"block_{k}": Column(
            "1",
            f"mean of log10(1 + |X_k|) over the 8 x 8 blocks inside, k = {k} in zig-zag order",
            _BLOCKS,
        )
        for k in range(1, N_BLOCK_COEFFICIENTS + 1)
    }


def _zigzag(size: int, count: int) -> np.ndarray:
    """(count, 2) rows and columns of coefficients 1, 2, ... in JPEG's order."""
    order = [
        (row, total - row)
        for total in range(2 * size - 1)
        # Odd diagonals run down, even ones up.
        for row in (range(total + 1) if total % 2 else range(total, -1, -1))
        if row < size and total - row < size
    ]
    return np.array(order[1 : count + 1])


def _bands() -> tuple[np.ndarray, np.ndarray]:
    """Band 0..7 of each coefficient (-1 for the mean) and its radius."""
    u, v = np.mgrid[:SIZE, :SIZE]
    square = u * u + v * v
    # Powers of two and a half, compared with whole squares: no radius sits on the wrong side.
    edges = [float(SIZE) ** (2 * b / N_BANDS) for b in range(1, N_BANDS)]
    band = np.searchsorted(np.array(edges), square, side="right")
    band[0, 0] = -1
    return band, np.sqrt(square)


def _basis(size: int) -> np.ndarray:
    """(size, size) orthonormal cosine transform, one basis vector per row."""
    u, x = np.mgrid[:size, :size]
    basis = np.sqrt(2.0 / size) * np.cos(np.pi * u * (2 * x + 1) / (2 * size))
    basis[0] = np.sqrt(1.0 / size)
    return basis


def _groups() -> np.ndarray:
    total = np.add.outer(np.arange(8), np.arange(8))
    group = np.full((8, 8), -1)
    for which, (first, last) in enumerate(GROUPS.values()):
        group[(total >= first) & (total <= last)] = which
    return group


_ZIGZAG = _zigzag(SIZE, N_COEFFICIENTS)
_BAND, _RADIUS = _bands()
_BASIS = _basis(_kernel.BLOCK)
_GROUP = _groups()
_BLOCK_ZIGZAG = _zigzag(_kernel.BLOCK, N_BLOCK_COEFFICIENTS)


_REFERENCE = "Ahmed, Natarajan and Rao, IEEE Trans. Computers C-23:90-93 (1974)"


@family(_summaries(), masks=("nucleus", "cell"), prepared=True, reference=_REFERENCE)
def dct(image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None) -> np.ndarray:
    """Coarse against fine inside each cell, by the discrete cosine transform of the grey image.

    Two views: the bounding box of the cell resampled to 64 x 64 pixels, which tells coarse from
    fine whatever the size of the cell, and blocks of 8 x 8 pixels, which keep the scale of the
    image. Pixels of the box outside the mask are given the mean of those inside, and the mean is
    taken off: nothing outside matters, and the edge of the mask adds the least it can.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB.
    labels : (H, W) ndarray of int
        Cells 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; the largest label when not given.

    Returns
    -------
    (n_cells, 13) ndarray of float64
        ``band_energy_1`` to ``_8``: shares of the energy without the mean in 8 rings whose radii
        grow by the factor 64^(1/8). ``slope`` and ``spectral_centroid`` of the same.
        ``block_low``, ``block_mid``, ``block_high``: shares of the energy of the blocks by u + v.
        NaN where a mask has no pixel or no whole block (for the block columns), or the cell is
        flat.

    Notes
    -----
    Resampling averages over the area each new pixel covers, and stretches the box to a square.
    The grid of blocks lies in the middle of the bounding box, so that moving the cell changes
    nothing. Mirroring and turning by 90 degrees change no column of the whole spectrum. Where the
    box is not a whole number of blocks and an even rest, both move the grid by one pixel, so that
    columns of the blocks agree only about.

    References
    ----------
    .. [1] N. Ahmed, T. Natarajan and K. R. Rao, "Discrete cosine transform", IEEE Trans. Computers
       C-23, 90-93, 1974.
    """
    return _transforms(prepare(image), labels, n_cells)[:, _SUMMARIES]


@family(
    _coefficients(),
    masks=("nucleus", "cell"),
    prepared=True,
    default=False,
    reference=_REFERENCE,
)
def dct_zigzag(
    image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None
) -> np.ndarray:
    """Single coefficients of the discrete cosine transforms of `dct`, in zig-zag order.

    Kept out of the default table: a coefficient of the whole cell follows how the cell happens to
    be turned, so that most of these columns are noise to a classifier of cell types.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB.
    labels : (H, W) ndarray of int
        Cells 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of rows; the largest label when not given.

    Returns
    -------
    (n_cells, 73) ndarray of float64
        ``whole_01`` to ``_64``: ``log10(1 + |X|)`` of the first coefficients of the box, in grey
        levels; the 1 is the step of an 8-bit image. ``block_1`` to ``_9``: mean of
        ``log10(1 + |X|)`` over the blocks. NaN where a mask has no pixel, or no whole block (for
        the block columns).

    Notes
    -----
    Turning by 90 degrees swaps columns (rows become columns); mirroring changes none of the whole.

    References
    ----------
    .. [1] N. Ahmed, T. Natarajan and K. R. Rao, "Discrete cosine transform", IEEE Trans. Computers
       C-23, 90-93, 1974.
    .. [2] ITU-T Recommendation T.81 (JPEG), 1992, figure A.6: zig-zag order.
    """
    return _transforms(prepare(image), labels, n_cells)[:, _COEFFICIENTS]


_SUMMARIES = np.arange(N_COEFFICIENTS, N_COEFFICIENTS + N_BANDS + 2 + len(GROUPS))
_N_ALL = N_COEFFICIENTS + N_BANDS + 2 + len(GROUPS) + N_BLOCK_COEFFICIENTS
_COEFFICIENTS = np.setdiff1d(np.arange(_N_ALL), _SUMMARIES)


def _transforms(prepared: Prepared, labels: np.ndarray, n_cells: int | None) -> np.ndarray:
    """(n_cells, 86) float64: coefficients, bands, slope, centroid, shares and blocks."""
    n_cells = int(labels.max()) if n_cells is None else n_cells

    def compute(where: Regions) -> np.ndarray:
        given = prepared.plane("grey"), where.run_starts, where.runs, where.boxes
        out = np.full((n_cells, _N_ALL), np.nan)
        spectra = _kernel.resample(*given, SIZE)
        for cell in np.flatnonzero(where.area):
            spectra[cell] = cv2.dct(spectra[cell])
        _kernel.summarise(spectra, _ZIGZAG, _BAND, _RADIUS, N_BANDS, out)
        n_whole = N_COEFFICIENTS + N_BANDS + 2
        _kernel.blocks(*given, _BASIS, _GROUP, _BLOCK_ZIGZAG, out[:, n_whole:])
        return out

    return prepared.shared("dct", labels, n_cells, compute)
