"""Networks trained from random weights: LeNets and other small networks, AlexNets, T-CNNs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hemafeat._public import public
from hemafeat.networks._architectures.parts import Shape, classify, scaled_input
from hemafeat.networks._architectures.stains import stain_matrix, stained_input
from hemafeat.networks._keras import need_keras


def _lenet(
    name: str,
    input_shape: Shape,
    n_classes: int,
    convolutions: Sequence[tuple[int, int]],
    dense: Sequence[int],
    *,
    dropout_before: float = 0.0,
    dropout_after: float = 0.0,
    dropout_last: float = 0.0,
) -> Any:
    """Build unpadded convolutions (filters, side) with ReLU and max pooling, and dense layers."""
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape)
    for number, (filters, side) in enumerate(convolutions, 1):
        if min(x.shape[1:3]) < side + 1:
            raise ValueError(f"{name}: images of {input_shape[0]} x {input_shape[1]} are too small")
        x = layers.Conv2D(filters, side, activation="relu", name=f"conv_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    if dropout_before:
        x = layers.Dropout(dropout_before, name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
        if dropout_after:
            x = layers.Dropout(dropout_after, name=f"dropout_{number}")(x)
    if dropout_last:
        x = layers.Dropout(dropout_last, name="dropout_last")(x)
    return classify(image, x, n_classes, name)


def lenet5(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build LeNet-5 with ReLU and max pooling."""
    return _lenet("lenet5", input_shape, n_classes, [(6, 5), (16, 5)], [120, 84], dropout_last=0.5)


def lenet5_224(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build LeNet-5 for larger images with more filters; the report does not give their numbers."""
    convolutions = [(6, 5), (16, 5), (32, 5)]
    return _lenet("lenet5_224", input_shape, n_classes, convolutions, [240, 120], dropout_last=0.5)


def lenet_8(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build two convolutions and three dense layers after dropout."""
    dense = [1024, 512, 256]
    return _lenet("lenet_8", input_shape, n_classes, [(30, 5), (16, 3)], dense, dropout_before=0.2)


def lenet_10(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build `lenet_8` with dropout after every dense layer as well."""
    return _lenet(
        "lenet_10",
        input_shape,
        n_classes,
        [(30, 5), (16, 3)],
        [1024, 512, 256],
        dropout_before=0.2,
        dropout_after=0.2,
    )


def lenet_4000(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build two convolutions and one dense layer, for 4,000 images."""
    return _lenet(
        "lenet_4000", input_shape, n_classes, [(30, 5), (16, 3)], [128], dropout_before=0.2
    )


def cnn1(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build one convolution and one dense layer."""
    return _lenet("cnn1", input_shape, n_classes, [(32, 5)], [128], dropout_before=0.2)


def cnn_4_8_16(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build three padded convolutions with batch normalisation, and one dense layer after dropout.

    The scale of the images, 0 to 1, and the slope of the leaky ReLU, PyTorch's default, are choices
    of ours.
    """
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape)
    for number, filters in enumerate((4, 8, 16), 1):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"normal_{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.01, name=f"relu_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Dense(128, activation="relu", name="dense_1")(x)
    return classify(image, x, n_classes, "cnn_4_8_16")


def mids_baseline(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build one convolution and a sigmoid."""
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape)
    x = layers.Conv2D(12, 4, padding="same", activation="relu", name="conv_1")(x)
    x = layers.MaxPooling2D(2, name="pool_1")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    return classify(image, x, n_classes, "mids_baseline", sigmoid=True)


def mids_final(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build three convolutions with batch normalisation, one dense layer and a sigmoid."""
    layers = need_keras("a network on images").layers
    image, x = scaled_input(input_shape)
    for number, filters in enumerate((32, 64, 128), 1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{number}")(x)
        x = layers.BatchNormalization(name=f"normal_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = layers.Dropout(0.3, name="dropout_1")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(256, activation="relu", name="dense_1")(x)
    x = layers.Dropout(0.4, name="dropout_2")(x)
    return classify(image, x, n_classes, "mids_final", sigmoid=True)


def alexnet(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build AlexNet in one tower, in which every filter sees every channel."""
    return _alexnet("alexnet", input_shape, n_classes, groups=1)


def alexnet_grouped(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build AlexNet with the second, fourth and fifth convolutions in two groups, as in 2012."""
    return _alexnet("alexnet_grouped", input_shape, n_classes, groups=2)


def _alexnet(name: str, input_shape: Shape, n_classes: int, *, groups: int) -> Any:
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import NeighbourNormalisation, ScaledImage

    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = ScaledImage("unit", name="scale")(image)

    def conv(x: Any, number: int, filters: int, side: int, groups: int = 1, **kwargs: Any) -> Any:
        return layers.Conv2D(
            filters, side, groups=groups, activation="relu", name=f"conv_{number}", **kwargs
        )(x)

    x = NeighbourNormalisation(name="normal_1")(conv(x, 1, 96, 11, strides=4))
    x = layers.MaxPooling2D(3, 2, name="pool_1")(x)
    x = conv(x, 2, 256, 5, groups, padding="same")
    x = NeighbourNormalisation(name="normal_2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool_2")(x)
    x = conv(x, 3, 384, 3, padding="same")
    x = conv(x, 4, 384, 3, groups, padding="same")
    x = conv(x, 5, 256, 3, groups, padding="same")
    x = layers.MaxPooling2D(3, 2, name="pool_5")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(4096, activation="relu", name=f"dense_{number}")(x)
        x = layers.Dropout(0.5, name=f"dropout_{number}")(x)
    return classify(image, x, n_classes, name)


def tcnn(input_shape: Shape, n_classes: int, weights: str | None) -> Any:
    """Build T-CNN-3: three convolutions of AlexNet, then the mean of each map, its energy."""
    image, x = scaled_input(input_shape)
    x = _tower(x, k=1.0, n_convolutions=3)
    x = need_keras("a network on images").layers.GlobalAveragePooling2D(name="energy")(x)
    return classify(image, _dense(x), n_classes, "tcnn")


def sd_tcnn(
    input_shape: Shape, n_classes: int, weights: str | None, stains: Any = "azure_eosin"
) -> Any:
    """Build the five convolutions of AlexNet and the mean of each map on quantities of stains."""
    image, x = stained_input(input_shape, stains)
    x = _tower(x, k=2.0, n_convolutions=5)
    x = need_keras("a network on images").layers.GlobalAveragePooling2D(name="energy")(x)
    return classify(image, _dense(x), n_classes, "sd_tcnn")


def sd_alexnet(
    input_shape: Shape, n_classes: int, weights: str | None, stains: Any = "azure_eosin"
) -> Any:
    """Build AlexNet in two groups on the quantities of three stains, whose colours are learned."""
    layers = need_keras("a network on images").layers
    image, x = stained_input(input_shape, stains)
    x = layers.MaxPooling2D(3, 2, name="pool_5")(_tower(x, k=2.0, n_convolutions=5))
    x = layers.Flatten(name="flatten")(x)
    return classify(image, _dense(x), n_classes, "sd_alexnet")


def sdct_auxnet(
    input_shape: Shape, n_classes: int, weights: str | None, stains: Any = "azure_eosin"
) -> Any:
    """Build convolutions of the cosines of stain quantities, pooled bilinearly; approximate."""
    layers = need_keras("a network on images").layers
    from hemafeat.networks._layers import BilinearPooling, CosineTransform

    image, x = stained_input(input_shape, stains)
    x = CosineTransform(name="cosines")(x)
    for number, filters in enumerate((16, 32, 64, 64), 1):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(x)
        x = layers.BatchNormalization(name=f"normal_{number}")(x)
        x = layers.ReLU(name=f"maps_{number}")(x)
        if number < 4:
            x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    return classify(image, BilinearPooling(name="bilinear")(x), n_classes, "sdct_auxnet")


_STAINED = {"sd_tcnn": sd_tcnn, "sd_alexnet": sd_alexnet, "sdct_auxnet": sdct_auxnet}


@public
@dataclass(frozen=True)
class StainedNetwork:
    """Network on the quantities of stains, which starts from given ones.

    It is a function ``(input_shape, n_classes)``, as `hemafeat.pipelines.NetworkClassifier` takes
    it for `architecture`.

    Attributes
    ----------
    name : str
        ``"sd_tcnn"``, ``"sd_alexnet"`` or ``"sdct_auxnet"``; see `architectures`.
    stains : tuple
        Optical density in R, G, B of each stain; given as `stain_deconvolution` takes them, such as
        a name or a reference cell.

    Raises
    ------
    ValueError
        The network has no stains, or `stains` are not those of `stain_deconvolution`.

    Examples
    --------
    >>> from hemafeat import datasets, networks, pipelines
    >>> cell = datasets.draw_cell("lymphocyte", random_state=0).image
    >>> network = networks.StainedNetwork("sd_tcnn", cell)
    >>> model = pipelines.NetworkClassifier(network, size=128)
    """

    name: str = "sd_tcnn"
    stains: Any = "azure_eosin"

    def __post_init__(self) -> None:
        if self.name not in _STAINED:
            raise ValueError(f"{self.name!r} has no stains; there are: {', '.join(_STAINED)}")
        # Plain numbers are compared, copied and stored like any other parameter.
        rows = tuple(tuple(float(x) for x in row) for row in stain_matrix(self.stains))
        object.__setattr__(self, "stains", rows)

    def __call__(self, input_shape: tuple[int, int, int], n_classes: int) -> Any:
        """Build the network, a keras.Model."""
        return _STAINED[self.name](input_shape, n_classes, None, stains=self.stains)


def _tower(x: Any, *, k: float, n_convolutions: int) -> Any:
    """Add the convolutions of AlexNet in two groups, each of the first two pooled, then divided.

    (The paper of 2012 divides by neighbouring channels before it pools; `_alexnet` does so.)
    """
    layers = need_keras("a network on images").layers
    from hemafeat.networks._layers import NeighbourNormalisation

    plan = ((96, 11, 1), (256, 5, 2), (384, 3, 1), (384, 3, 2), (256, 3, 2))[:n_convolutions]
    for number, (filters, side, groups) in enumerate(plan, 1):
        x = layers.Conv2D(
            filters,
            side,
            strides=4 if number == 1 else 1,
            groups=groups,
            padding="valid" if number == 1 else "same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"conv_{number}",
        )(x)
        if number < 3:
            x = layers.MaxPooling2D(3, 2, name=f"pool_{number}")(x)
            x = NeighbourNormalisation(k=k, name=f"normal_{number}")(x)
    return x


def _dense(x: Any) -> Any:
    """Add two layers of 4,096 nodes, each followed by dropout."""
    layers = need_keras("a network on images").layers
    for number in (1, 2):
        x = layers.Dense(
            4096, activation="relu", kernel_initializer="he_normal", name=f"dense_{number}"
        )(x)
        x = layers.Dropout(0.5, name=f"dropout_{number}")(x)
    return x
