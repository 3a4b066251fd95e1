"""Parts that several networks share: input, backbone, class probabilities, the stain layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemafeat.networks._backbones import backbone, build_backbone, maps_of, with_imagenet
from hemafeat.networks._keras import need_keras
from hemafeat.networks._own import classify

__all__ = ["Shape", "classify", "feature_maps", "scaled_input", "stain_deconvolution"]

Shape = tuple[int, int, int]


def scaled_input(input_shape: Shape, mode: str = "unit") -> tuple[Any, Any]:
    """Return the input of a network, images of 0 to 255, and the same images scaled by `mode`."""
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import ScaledImage

    image = keras.Input(input_shape, name="image")
    return image, ScaledImage(mode, name="scale")(image)


def feature_maps(kind: str, image: Any, weights: str | None, name: str | None = None) -> Any:
    """Build a network of ``keras.applications`` without its last layers.

    Parameters
    ----------
    kind : str
        Name in ``keras.applications``.
    image : (n, H, W, 3) tensor
        Images of 0 to 255.
    weights : {"imagenet"} or path, optional
        Weights to load. By default they are random.
    name : str, optional
        Suffix of the name of the scaling layer. By default it is `kind`.

    Returns
    -------
    keras.Model
        The backbone. Its layers are layers of the model that is built on `image`.

    Raises
    ------
    ValueError
        The file does not exist or holds other weights, or the ImageNet weights cannot be
        downloaded.
    """
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ValueError(f"{weights}: the file of weights does not exist")
    network, scale_name = backbone(kind), f"scale_{(name or kind).lower()}"
    if weights == "imagenet":
        return with_imagenet(network, image, False, scale_name)
    if weights is not None:
        return maps_of(network, image, Path(weights), scale_name)
    return build_backbone(network, image, top=False, scale_name=scale_name)


def stain_deconvolution(stains: Any = None, **kwargs: Any) -> Any:
    """Create a layer that turns optical densities into quantities of three stains.

    The stain matrix is learned.

    Parameters
    ----------
    stains : (3, 3) array-like, optional
        Optical density in R, G, B of each stain, one stain per row, from which training starts. The
        rows are normalised to length 1. By default it is the identity, which leaves the densities
        as they are.
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
        `stains` has another shape or no inverse.

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

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> layer = networks.stain_deconvolution()
    >>> layer(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 8, 8, 3)
    True
    """
    need_keras("a layer on images")
    from hemafeat.networks._layers import StainDeconvolution

    return StainDeconvolution(stains, **kwargs)
