"""Measure how red the cytoplasm is: a feature family in a package of its own."""

import numpy as np

from hemafeat.extract import Column, family


@family(
    {
        "mean": Column(
            "1",
            "mean of R / (R + G + B) over the pixels that are not black",
            meaning="How red the cytoplasm is.",
        ),
        "share": Column(
            "1",
            "share of those pixels in which R exceeds both G and B",
            meaning="How much of the cytoplasm is red, such as eosinophil granules.",
        ),
    },
    masks=("cytoplasm",),
    reference="Wyszecki and Stiles, Color Science, 2nd ed., 1982",
)
def redness(image, labels, n_cells=None):
    """Measure the chromaticity of red inside each cell.

    Eosin stains the granules of eosinophils red, so it is high in them and low in lymphocytes.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    labels : (H, W) ndarray of int
        Labels of the cells, 1..n_cells; 0 is background.
    n_cells : int, optional
        Number of cells, including those without pixels in `labels`. By default the highest label.

    Returns
    -------
    (n_cells, 2) ndarray of float64
        ``mean`` and ``share``; NaN for a cell without pixels, or with black ones only.

    References
    ----------
    .. [1] G. Wyszecki and W. S. Stiles, "Color Science: Concepts and Methods, Quantitative Data
       and Formulae", 2nd ed., Wiley, 1982 (chromaticity coordinates).
    """
    n_cells = int(labels.max()) if n_cells is None else n_cells
    inside = labels > 0
    cell = labels[inside]
    red, green, blue = image[inside].astype(np.float64).T
    total = red + green + blue
    bright = total > 0
    cell, red, green, blue, total = (a[bright] for a in (cell, red, green, blue, total))

    n_pixels = np.bincount(cell, minlength=n_cells + 1)[1:]
    chromaticity = np.bincount(cell, red / total, minlength=n_cells + 1)[1:]
    n_red = np.bincount(cell, (red > green) & (red > blue), minlength=n_cells + 1)[1:]
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, the value of a cell without pixels
        return np.column_stack([chromaticity / n_pixels, n_red / n_pixels])
