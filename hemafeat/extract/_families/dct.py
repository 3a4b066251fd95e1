"""Texture by the discrete cosine transform, of the whole cell and of its 8x8 blocks."""

from __future__ import annotations

import cv2
import numpy as np

from hemafeat.extract._family import Column, family
from hemafeat.extract._kernels import dct as _kernel
from hemafeat.extract._prepared import GREY, Prepared, Regions, prepare

SIZE = 64
"""Side in pixels of the square to which a cell is resampled."""

N_COEFFICIENTS = 64
N_BLOCK_COEFFICIENTS = 9
"""Numbers of single coefficients of the cell and of its blocks."""

N_BANDS = 8
GROUPS = {"low": (1, 2), "mid": (3, 6), "high": (7, 14)}
"""Range of the sum u + v of the row and column of a coefficient of a block."""

_BOX = f"box resampled to {SIZE} x {SIZE}; {GREY}"
_WHOLE = "Ahmed et al. 1974 (type II, orthonormal); scipy.fft.dctn"
_BLOCKS = "Ahmed et al. 1974 (type II, orthonormal), blocks and zig-zag as in ITU-T T.81 (JPEG)"

_SIZES = {
    "low": "coarse structure, of 4 px and more",
    "mid": "structure of about 2 px",
    "high": "the finest structure, of about 1 px, and noise",
}


def _summaries() -> dict[str, Column]:
    columns = {}
    for b in range(1, N_BANDS + 1):
        upper = f" and r < 64^({b}/8)" if b < N_BANDS else ""
        least, most = 64 ** ((b - 1) / N_BANDS), 64 ** (b / N_BANDS)
        size = f"1/{least:.0f} to 1/{most:.0f}" if b > 1 else "half to all"
        columns[f"band_energy_{b}"] = Column(
            "1",
            f"sum X^2 over r >= 64^({b - 1}/8){upper}, r^2 = u^2 + v^2, over sum X^2 without the "
            f"mean, {_BOX}",
            _WHOLE,
            f"How much of the differences in brightness is structure of {size} of the width of the "
            f"part, from coarse (1) to fine ({N_BANDS}).",
        )
    declared = {
        "slope": Column(
            "1",
            "least-squares slope of log10 mean X^2 on log10 mean r over the "
            f"{N_BANDS} bands, {_BOX}",
            _WHOLE,
            "How quickly structure fades from coarse to fine: steep (negative) if smooth, near "
            "0 if "
            "finely granular.",
        ),
        "spectral_centroid": Column(
            "half-cycles per box",
            f"sum r X^2 / sum X^2, in half-cycles per box, {_BOX}",
            _WHOLE,
            "How many stripes, dark and pale in turn, the mean structure would have across the "
            "part: "
            "few if coarse, many if fine.",
        ),
    }
    columns |= {name: declared[name] for name in _kernel.SUMMARY}
    for name, (first, last) in GROUPS.items():
        columns[f"block_{name}"] = Column(
            "1",
            f"share of coefficients {first} <= u + v <= {last} in sum X^2 without the mean, all "
            f"8 x 8 blocks inside; {GREY}",
            _BLOCKS,
            f"How much of the differences in brightness is {_SIZES[name]}.",
        )
    return columns


def _coefficients() -> dict[str, Column]:
    whole = {
        f"whole_{k:02d}": Column(
            "1",
            f"log10(1 + |X_k|), k = {k} in zig-zag order, {_BOX}",
            _WHOLE,
            f"One of {N_COEFFICIENTS} numbers that together code the coarse picture of the part in "
            "the position in which it lies; none has a meaning alone.",
        )
        for k in range(1, N_COEFFICIENTS + 1)
    }
    return whole | {
        f"block_{k}": Column(
            "1",
            f"mean of log10(1 + |X_k|) over the 8 x 8 blocks inside, k = {k} in zig-zag order; "
            f"{GREY}",
            _BLOCKS,
            f"One of {N_BLOCK_COEFFICIENTS} numbers that together code the structure of 3 px and "
            "more, by direction; none has a meaning alone.",
        )
        for k in range(1, N_BLOCK_COEFFICIENTS + 1)
    }


def _zigzag(size: int, count: int) -> np.ndarray:
    """Return the (count, 2) rows and columns of coefficients 1, 2, ... in JPEG's order."""
    order = [
        (row, total - row)
        for total in range(2 * size - 1)
        # Odd diagonals run down, even ones up.
        for row in (range(total + 1) if total % 2 else range(total, -1, -1))
        if row < size and total - row < size
    ]
    return np.array(order[1 : count + 1])


def _bands() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges, radii, counts and mean log radii that ``_kernels.dct.summarise`` takes."""
    u, v = np.mgrid[:SIZE, :SIZE]
    square = u * u + v * v
    # Squared radii are integers and are compared with exact or irrational limits, so that no radius
    # falls on the wrong side.
    limits = [float(SIZE) ** (2 * b / N_BANDS) for b in range(N_BANDS)] + [np.inf]
    edges = np.stack([np.searchsorted(row, limits) for row in square.astype(float)])
    # The mean belongs to no band, as its radius 0 lies before the first.
    radius = np.sqrt(square)
    bands = np.searchsorted(limits, square, side="right") - 1
    within = [radius[bands == b] for b in range(N_BANDS)]
    counts = np.array([float(r.size) for r in within])
    return edges, radius, counts, np.log10([r.mean() for r in within])


def _groups() -> np.ndarray:
    """Return the index of the group of each coefficient of a block; -1 for the mean."""
    total = np.add.outer(np.arange(_kernel.BLOCK), np.arange(_kernel.BLOCK))
    groups = np.full(total.shape, -1)
    for index, (first, last) in enumerate(GROUPS.values()):
        groups[(total >= first) & (total <= last)] = index
    return groups


_ZIGZAG = _zigzag(SIZE, N_COEFFICIENTS)
_EDGES, _RADIUS, _COUNTS, _LOG_RADIUS = _bands()
_GROUPS = _groups()
_BLOCK_ZIGZAG = _zigzag(_kernel.BLOCK, N_BLOCK_COEFFICIENTS)


_REFERENCE = "Ahmed, Natarajan and Rao, IEEE Trans. Computers C-23:90-93 (1974)"


@family(
    _summaries(),
    masks=("nucleus", "cell"),
    prepared=True,
    # Adds nothing to the textures of the default table.
    default=False,
    reference=_REFERENCE,
)
def dct(image: np.ndarray | Prepared, labels: np.ndarray, n_cells: int | None = None) -> np.ndarray:
    """Compute shares of coarse and fine structure by the cosine transform of the grey image.

    Two transforms are used: of the bounding box of the cell, resampled to 64 x 64 pixels, which is
    relative to the size of the cell, and of blocks of 8 x 8 pixels, which keep the scale of the
    image. Pixels of the box outside the mask are set to the mean of those inside, and the mean is
    subtracted, so that pixels outside have no influence and the edge of the mask hardly any. The
    grey image is ``floor((9798 R + 19235 G + 3735 B + 2^14) / 2^15)``.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 13) ndarray of float64
        ``band_energy_1`` to ``_8``: shares of the energy without the mean in 8 rings whose radii
        grow by the factor 64^(1/8). ``slope`` and ``spectral_centroid`` (in half-cycles per box) of
        the same spectrum.
        ``block_low``, ``block_mid``, ``block_high``: shares of the energy of the blocks by u + v.
        NaN where a mask has no pixel or no whole block (for the block columns), or the cell is
        flat.

    Notes
    -----
    Resampling averages over the area that each new pixel covers, and stretches the box to a square.
    The grid of blocks is centred in the bounding box. Where the remainder of a side divided by 8 is
    odd, it lies one pixel nearer to one side: of the sums of grey level plus 1 over the pixels of
    the mask in the outermost lines of both sides, or in the next lines that differ, to the larger.
    Shifting, mirroring or turning the image by 90 degrees therefore changes no value.

    References
    ----------
    .. [1] N. Ahmed, T. Natarajan and K. R. Rao, "Discrete cosine transform", IEEE Trans. Computers
       C-23, 90-93, 1974.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.dct(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.dct.facts.columns, values[0]))
    >>> print(f"{row['slope']:.1f} {row['spectral_centroid']:.0f}")
    -1.0 19
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    # Bands and radii are the same on both sides of the diagonal.
    spectra = _spectra(prepared, labels, n_cells)
    whole = _kernel.summarise(spectra, _EDGES, _RADIUS, _COUNTS, _LOG_RADIUS)
    regions = prepared.regions(labels, n_cells)
    blocks = _kernel.block_shares(
        prepared.plane("grey"), regions.run_starts, regions.runs, regions.boxes, _GROUPS
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
    """Compute single coefficients of the cosine transforms of `dct`, in zig-zag order.

    The family is not in the default table: a coefficient of the whole cell depends on the
    orientation of the cell, so that most of these columns are noise to a classifier of cell types.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8, or Prepared
        RGB image.
    labels : (H, W) ndarray of int
        Label image of the cells, or of one of their compartments: 1 to n_cells, 0 is background.
    n_cells : int, optional
        Number of cells, which is the number of rows returned. By default the largest label.

    Returns
    -------
    (n_cells, 73) ndarray of float64
        ``whole_01`` to ``_64``: ``log10(1 + |X|)`` of the first coefficients of the box, in grey
        levels; the 1 is one level of an 8-bit image. ``block_1`` to ``_9``: mean of
        ``log10(1 + |X|)`` over the blocks. NaN where a mask has no pixel, or no whole block (for
        the block columns).

    Notes
    -----
    Rotating the image by 90 degrees swaps columns; mirroring does not change those of the whole
    cell.

    References
    ----------
    .. [1] N. Ahmed, T. Natarajan and K. R. Rao, "Discrete cosine transform", IEEE Trans. Computers
       C-23, 90-93, 1974.
    .. [2] ITU-T Recommendation T.81 (JPEG), 1992, figure A.6: zig-zag order.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> values = extract.dct_zigzag(cell.image, cell.nucleus)
    >>> row = dict(zip(extract.dct_zigzag.facts.columns, values[0]))
    >>> print(f"{row['whole_03']:.1f} {row['block_1']:.1f}")
    1.4 1.2
    """
    prepared = prepare(image)
    n_cells = int(labels.max()) if n_cells is None else n_cells
    spectra = _spectra(prepared, labels, n_cells)
    whole = np.log10(1 + np.abs(spectra[:, _ZIGZAG[:, 1], _ZIGZAG[:, 0]]))
    regions = prepared.regions(labels, n_cells)
    blocks = _kernel.block_mean_logs(
        prepared.plane("grey"), regions.run_starts, regions.runs, regions.boxes, _BLOCK_ZIGZAG
    )
    return np.concatenate([whole, blocks], axis=1)


def _spectra(prepared: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the (n_cells, 64, 64) transposed transforms of the boxes; NaN without a pixel."""

    def compute(regions: Regions) -> np.ndarray:
        boxes = _kernel.resample(
            prepared.plane("grey"), regions.run_starts, regions.runs, regions.boxes, SIZE
        )
        for cell in np.flatnonzero(regions.area):
            cv2.dct(boxes[cell], boxes[cell])
        return np.asarray(boxes)

    return prepared.shared("dct", labels, n_cells, compute)
