"""The stain-deconvolution layer, for networks of one's own."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._keras import need_keras


def stain_deconvolution(stains: Any = None, **given: Any) -> Any:
    """A layer that turns optical densities into quantities of three stains and learns which.

    Parameters
    ----------
    stains : (3, 3) array-like, optional
        Optical density in R, G, B of each stain, one per row, from which training starts; rows are
        brought to length 1. The identity by default, which leaves the densities as they are.
    **given
        For ``keras.layers.Layer``: ``name``, ``trainable``.

    Returns
    -------
    keras.layers.Layer
        Nine weights, the inverse of the stain matrix; from (n, H, W, 3) densities to (n, H, W, 3)
        quantities, ``density @ inv(stains)`` per pixel. It is known to `keras.saving`.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        Stains of another shape, or a matrix without an inverse.

    Notes
    -----
    With the rows of Ruifrok and Johnston [2]_ it is the classic colour deconvolution. The abstract
    of [1]_ gives the nine parameters, the start from one cell image and the learning; the algebra
    is that of [2]_.

    References
    ----------
    .. [1] R. Duggal, A. Gupta, R. Gupta and P. Mallick, "SD-Layer: Stain deconvolutional layer for
       CNNs in medical microscopic imaging", MICCAI 2017.
    .. [2] A. Ruifrok and D. Johnston, "Quantification of histochemical staining by color
       deconvolution", Analytical and Quantitative Cytology and Histology 23, 2001.
    """
    need_keras("a layer on images")
    from hemafeat.networks._layers import StainDeconvolution

    return StainDeconvolution(stains, **given)
