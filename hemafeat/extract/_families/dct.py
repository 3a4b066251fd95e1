"""Texture by the discrete cosine transform, of the whole cell and of its 8x8 blocks."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import dct as _kernel, dct_blocks as _blocks
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


def _bands() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where each row enters each band, with its end; the radius of each coefficient.

    Then, of each band, the number of coefficients and log10 of their mean radius.
    """
    u, v = np.mgrid[:SIZE, :SIZE]
    square = u * u + v * v
    # Powers of two and a half, compared with whole squares: no radius sits on the wrong side.
    limits = [float(SIZE) ** (2 * b / N_BANDS) for b in range(N_BANDS)] + [np.inf]
    edges = np.stack([np.searchsorted(row, limits) for row in square.astype(float)])
    # The mean itself is in no band: its radius 0 lies before the first.
    radius = np.sqrt(square)
    bands = np.searchsorted(limits, square, side="right") - 1
    within = [radius[bands == b] for b in range(N_BANDS)]
    counts = np.array([float(r.size) for r in within])
    return edges, radius, counts, np.log10([r.mean() for r in within])


def _groups() -> np.ndarray:
    total = np.add.outer(np.arange(8), np.arange(8))
    group = np.full((8, 8), -1)
    for which, (first, last) in enumerate(GROUPS.values()):
        group[(total >= first) & (total <= last)] = which
    return group


_ZIGZAG = _zigzag(SIZE, N_COEFFICIENTS)
_EDGES, _RADIUS, _COUNTS, _REACH = _bands()
_GROUP = _groups()
_BLOCK_ZIGZAG = _zigzag(_blocks.BLOCK, N_BLOCK_COEFFICIENTS)


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
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    # Bands and radii are the same on both sides of the diagonal.
    whole = _kernel.summarise(_spectra(prepared, labels, n_cells), _EDGES, _RADIUS, _COUNTS, _REACH)
    where = prepared.regions(labels, n_cells)
    blocks = _blocks.energies(
        prepared.plane("grey"), where.run_starts, where.runs, where.boxes, _GROUP
    )
    return np.concatenate([whole, blocks], axis=1)


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
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    spectra = _spectra(prepared, labels, n_cells)
    whole = np.log10(1 + np.abs(spectra[:, _ZIGZAG[:, 1], _ZIGZAG[:, 0]]))
    where = prepared.regions(labels, n_cells)
    blocks = _blocks.mean_logs(
        prepared.plane("grey"), where.run_starts, where.runs, where.boxes, _BLOCK_ZIGZAG
    )
    return np.concatenate([whole, blocks], axis=1)


def _spectra(prepared: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells, 64, 64) float64: transforms of the boxes, columns first; NaN without a pixel."""

    def compute(where: Regions) -> np.ndarray:
        given = prepared.plane("grey"), where.run_starts, where.runs, where.boxes
        found = _kernel.resample(*given, SIZE)
        for cell in np.flatnonzero(where.area):
            cv2.dct(found[cell], found[cell])
        return found

    return prepared.shared("dct", labels, n_cells, compute)
