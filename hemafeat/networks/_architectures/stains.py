"""Stains that a network learns to separate."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hemafeat import images
from hemafeat._words import suggestion
from hemafeat.networks._keras import need_keras

STAINS: dict[str, Any] = {
    "azure_eosin": images.Macenko().vectors,
    "haematoxylin_eosin": ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)),
}
"""Optical density (R, G, B) of each of two stains: azure and eosin of a blood smear, the median of
400 cells of the PBC set; haematoxylin and eosin as Ruifrok and Johnston give them."""


def stain_matrix(stains: Any) -> np.ndarray:
    """Return the densities of three stains, (3, 3), from a name, an array or a reference cell."""
    if isinstance(stains, str) and stains in STAINS:
        rows = np.asarray(STAINS[stains])
    elif isinstance(stains, (str, os.PathLike)) or (np.ndim(stains) == 3):
        if isinstance(stains, str) and not os.path.exists(images.path_of(stains)):
            names = suggestion(stains, STAINS)
            raise ValueError(
                f"stains={stains!r}: no such file, and no stains of that name; {names}"
            )
        rows = images.Macenko().stains(images.read(stains))[0]
    else:
        rows = np.asarray(stains, dtype=np.float64)
    if rows.shape == (2, 3):
        # What two stains cannot explain, as in the classic colour deconvolution.
        rest = np.cross(rows[0], rows[1])
        rows = np.vstack([rows, rest / max(float(np.linalg.norm(rest)), 1e-12)])
    return rows


def stain_deconvolution(stains: Any = None, **kwargs: Any) -> Any:
    """Create a layer that turns optical densities into quantities of three stains.

    The stain matrix is learned.

    Parameters
    ----------
    stains : str, array-like or path, optional
        Stains from which training starts. ``"azure_eosin"`` or ``"haematoxylin_eosin"``; the
        optical density in R, G, B of each stain, one stain per row, (3, 3) or (2, 3); or a
        reference cell, an (H, W, 3) uint8 RGB image or its file, in which two stains are found
        (`hemafeat.images.Macenko`). After two stains comes the direction at right angles to both.
        The rows are normalised to length 1. By default it is the identity, which leaves the
        densities as they are.
    **kwargs
        Passed to ``keras.layers.Layer``: ``name``, ``trainable``.

    Returns
    -------
    keras.layers.Layer
        Layer with nine weights, the inverse of the stain matrix. It maps (n, H, W, 3) densities to
        (n, H, W, 3) quantities, ``density @ inv(stains)`` per pixel, and is registered with
        `keras.saving`.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        `stains` is no known name or file, has another shape or no inverse, or too few pixels of the
        reference cell are stained.

    Notes
    -----
    With the rows of Ruifrok and Johnston [2]_ it is the classic colour deconvolution. The nine
    weights, their start from a reference cell and the learning are those of [1]_, whose code keeps
    the stain matrix as weights and inverts it in every step; here its inverse is learned.

    References
    ----------
    .. [1] R. Duggal, A. Gupta, R. Gupta and P. Mallick, "SD-Layer: Stain deconvolutional layer for
       CNNs in medical microscopic imaging", MICCAI 2017; repository duggalrahul/SD-Layer.
    .. [2] A. Ruifrok and D. Johnston, "Quantification of histochemical staining by color
       deconvolution", Analytical and Quantitative Cytology and Histology 23, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> layer = networks.stain_deconvolution("azure_eosin")
    >>> layer(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 8, 8, 3)
    True
    """
    need_keras("a layer on images")
    from hemafeat.networks._layers import StainDeconvolution

    return StainDeconvolution(None if stains is None else stain_matrix(stains), **kwargs)


def stained_input(input_shape: tuple[int, int, int], stains: Any) -> tuple[Any, Any]:
    """Return the input of a network, and the quantities of three stains in it, from -1 to 1."""
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import OpticalDensity

    image = keras.Input(input_shape, name="image")
    # The cells of the source are cut out on black, which it reads as white.
    density = OpticalDensity(offset=0.0, base="10", black_is_white=True, name="density")(image)
    quantities = stain_deconvolution(stains, name="stains")(density)
    return image, keras.layers.Activation("tanh", name="tanh")(quantities)
