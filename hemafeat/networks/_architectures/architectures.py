"""Published networks by name, with their published sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat._public import public
from hemafeat.networks._architectures import branches, lenet, transfer
from hemafeat.networks._backbones import WeightsError, shapes_of
from hemafeat.networks._keras import layer_seed, need_keras
from hemafeat.networks._own import OWN, architecture as made_here
from hemafeat.networks._weights.loading import LAST, load_state, warn_left_out
from hemafeat.networks._weights.state_file import is_state_file

_MIDS = "MIDS 207 deck, layer table"
_BLOODCELLS = "repository lbernard9/bloodcells, notebooks"
_HINCAPIE = "Hincapie, report on PBC"
_SD_LAYER = "Duggal 2017, repository duggalrahul/SD-Layer, models.py"
_LYMPHOCYTOSIS = "repository BenKabongo25/mva-dlmi-lymphocytosis-classification-project"
_QUOTED = "PyTorch quotes the trainable ones; Keras adds {} moving statistics"


@public
@dataclass(frozen=True)
class Architecture:
    """Describe a network as it was published.

    Attributes
    ----------
    make : callable
        ``make(input_shape, n_classes, weights)`` builds the Keras model.
    input_shape : (height, width, channels)
        Shape of the images, in px.
    n_classes : int
        Number of classes for which the weights were counted.
    n_parameters : int or None
        Number of all weights as Keras counts them, including the moving statistics of batch
        normalisation. None if it was not published.
    n_trainable : int or None
        Number of trainable weights, which PyTorch quotes.
    source : str
        Publication or repository.
    certainty : str
        ``"stated"`` (in the report), ``"read"`` (in source code), ``"computed"`` (from stated
        layers), ``"remembered"`` (from the literature, not read again), ``"guess"`` (the layers
        are not given).
    note : str
        Reading of the source that gives these numbers, and what the source leaves open.
    from_backbone : bool
        True if `weights` are those of a backbone of ``keras.applications``.
    """

    make: Callable[..., Any]
    input_shape: tuple[int, int, int]
    n_classes: int
    n_parameters: int | None
    n_trainable: int | None
    source: str
    certainty: str
    note: str = ""
    from_backbone: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "lenet5": Architecture(
        lenet.lenet5, (32, 32, 3), 8, 61_836, 61_836, _HINCAPIE, "stated",
        "ReLU and a dropout of .5 before the last layer are guesses; neither has weights",
    ),
    "lenet5_224": Architecture(
        lenet.lenet5_224, (224, 224, 3), 8, None, None, _HINCAPIE, "guess",
        "the report has larger images and more nodes, without numbers: here 6-16-32 filters and "
        "240-120 nodes",
    ),
    "alexnet": Architecture(
        lenet.alexnet, (227, 227, 3), 1000, 62_378_344, 62_378_344,
        "Krizhevsky 2012, one tower", "remembered",
        "the reports give no table; two groups as printed in 2012 give 60,965,224 "
        "(alexnet_grouped), the one tower of 2014 with 64 filters 61,100,840 (alexnet_2014)",
    ),
    "alexnet_grouped": Architecture(
        lenet.alexnet_grouped, (227, 227, 3), 1000, 60_965_224, 60_965_224,
        "Krizhevsky 2012, two groups", "remembered",
    ),
    "sd_alexnet": Architecture(
        lenet.sd_alexnet, (400, 400, 3), 2, 146_005_387, 146_005_387, _SD_LAYER, "read",
        "nine of the parameters are those of the stain layer; starts from azure and eosin, see "
        "StainedNetwork. Published with squared error and Nesterov momentum",
    ),
    "sd_tcnn": Architecture(
        lenet.sd_tcnn, (400, 400, 3), 2, 20_176_267, 20_176_267, _SD_LAYER, "read",
        "as sd_alexnet, with the mean of each map in place of the last pooling",
    ),
    "tcnn": Architecture(
        lenet.tcnn, (227, 227, 3), 11, 19_630_859, 19_630_859,
        "Andrearczyk and Whelan 2016, repository vandrearczyk/caffe-TCNN, T-CNN-3", "read",
        "counted for its eleven textures; images of 0 to 1, without their mean subtracted, and He "
        "initialisation are choices of this package",
    ),
    "mids_baseline": Architecture(
        lenet.mids_baseline, (128, 128, 3), 2, 49_741, 49_741, _MIDS, "computed",
        "one sigmoid output for two classes",
    ),
    "mids_final": Architecture(
        lenet.mids_final, (128, 128, 3), 2, 8_483_265, 8_482_817, _MIDS, "computed",
        "one sigmoid output for two classes; ReLU before batch normalisation is a guess",
    ),
    "cnn1_gray": Architecture(
        lenet.cnn1, (256, 256, 1), 8, 65_030_088, 65_030_088, _BLOODCELLS, "computed",
    ),
    "cnn1_rgb": Architecture(
        lenet.cnn1, (256, 256, 3), 8, 65_031_688, 65_031_688, _BLOODCELLS, "computed",
    ),
    "lenet_4000": Architecture(
        lenet.lenet_4000, (256, 256, 3), 8, 7_880_288, 7_880_288, _BLOODCELLS, "computed",
    ),
    "lenet_8": Architecture(
        lenet.lenet_8, (224, 224, 3), 8, 48_441_568, 48_441_568, _BLOODCELLS, "computed",
    ),
    "lenet_10": Architecture(
        lenet.lenet_10, (224, 224, 3), 10, 48_442_082, 48_442_082, _BLOODCELLS, "computed",
    ),
    "cnn_4_8_16": Architecture(
        lenet.cnn_4_8_16, (224, 224, 3), 2, 1_607_706, 1_607_650, _LYMPHOCYTOSIS, "computed",
        "PyTorch counts the trainable ones; Keras adds 56 moving statistics. The slope of the "
        "leaky ReLU, .01, and the scale of the images are guesses",
    ),
    "vgg16_head": Architecture(
        transfer.vgg16_head, (224, 224, 3), 8, 15_898_184, 15_898_184, _BLOODCELLS, "read",
        "trainable is counted with every layer free; with a frozen backbone 1,183,496",
        from_backbone=True,
    ),
    "efficientnet_b1_head": Architecture(
        transfer.efficientnet_b1_head, (256, 256, 3), 10, None, None, _BLOODCELLS, "read",
        from_backbone=True,
    ),
    "inception_v3": Architecture(
        transfer.inception_v3, (299, 299, 3), 1000, 23_851_784, 23_817_352,
        "keras.applications; UFSC deck, Ramaneswaran 2021, Hincapie", "remembered",
        from_backbone=True,
    ),
    "inception_resnet_v2": Architecture(
        transfer.inception_resnet_v2, (299, 299, 3), 1000, 55_873_736, 55_813_192,
        "keras.applications; UFSC deck", "remembered", from_backbone=True,
    ),
    "vgg16_bn": Architecture(
        made_here("vgg16_bn"), (224, 224, 3), 1000, None, 138_365_992,
        "Honnalgere and Nayak 2019; torchvision vgg16_bn", "remembered", _QUOTED.format("8,448"),
    ),
    "alexnet_2014": Architecture(
        made_here("alexnet_2014"), (224, 224, 3), 1000, 61_100_840, 61_100_840,
        "Krizhevsky 2014, one tower; torchvision alexnet", "remembered",
        "the AlexNet whose ImageNet weights torchvision has",
    ),
    "resnet18": Architecture(
        made_here("resnet18"), (224, 224, 3), 1000, None, 11_689_512,
        "He 2016; torchvision resnet18; UFSC deck, Marzahl 2019", "remembered",
        f"{_QUOTED.format('9,600')}. The deck does not name the port it used",
    ),
    "resnet34": Architecture(
        made_here("resnet34"), (224, 224, 3), 1000, None, 21_797_672,
        "He 2016; torchvision resnet34; lymphocytosis report", "remembered",
        _QUOTED.format("17,024"),
    ),
    "resnet50": Architecture(
        made_here("resnet50"), (224, 224, 3), 1000, None, 25_557_032,
        "He 2016; torchvision resnet50; Pan 2019", "remembered",
        f"{_QUOTED.format('53,120')}. The stride is in the middle convolution of a block; Keras "
        "has it in the first",
    ),
    "resnet101": Architecture(
        made_here("resnet101"), (224, 224, 3), 1000, None, 44_549_160,
        "He 2016; torchvision resnet101; Pan 2019", "remembered", _QUOTED.format("105,344"),
    ),
    "resnet152": Architecture(
        made_here("resnet152"), (224, 224, 3), 1000, None, 60_192_808,
        "He 2016; torchvision resnet152; Pan 2019", "remembered", _QUOTED.format("151,424"),
    ),
    "resnext50": Architecture(
        made_here("resnext50"), (224, 224, 3), 1000, None, 25_028_904,
        "Xie 2017; torchvision resnext50_32x4d; Kulhalli 2019", "remembered",
        f"{_QUOTED.format('68,224')}. Which ResNeXt Kulhalli et al. trained is not stated",
    ),
    "resnext101": Architecture(
        made_here("resnext101"), (224, 224, 3), 1000, None, 88_791_336,
        "Xie 2017; torchvision resnext101_32x8d; Kulhalli 2019", "remembered",
        f"{_QUOTED.format('202,880')}. Which ResNeXt Kulhalli et al. trained is not stated",
    ),
    "marzahl_resnet18": Architecture(
        branches.marzahl_resnet18, (450, 450, 3), 2, None, None, "Marzahl 2019, abstract", "guess",
        "ResNet-18 and the regression of the box of the cell are read; its layer (one of 4 nodes "
        "on the means), its loss (smooth L1, added as it is) and the size are guesses. The box is "
        "known where the background is black",
    ),
    "se_resnext50": Architecture(
        made_here("se_resnext50", "unit"), (224, 224, 3), 1000, None, 27_559_896,
        "Prellberg and Kramer 2019; pretrainedmodels se_resnext50_32x4d", "remembered",
        "counted at 1,000 classes; they trained on centre crops of 300 with one logit, and scaled "
        f"images to 0 to 1 only. {_QUOTED.format('68,224')}",
    ),
    "efficientnet_lite0": Architecture(
        made_here("efficientnet_lite0"), (224, 224, 3), 1000, 4_694_024, 4_652_008,
        "Tan and Le 2019; Liu 2020, EfficientNet-Lite; efficientnet_lite_pytorch", "read",
        "images are scaled to (I - 127) / 128; the drop of whole blocks in training is left out",
    ),
    "sdct_auxnet": Architecture(
        lenet.sdct_auxnet, (400, 400, 3), 2, None, None, "Gehlot 2020, abstract", "guess",
        "architecture approximate: cosines of stain quantities, a compact network and bilinear "
        "pooling are stated, the layers are not; see StainedNetwork",
    ),
    "leukonet_like": Architecture(
        branches.leukonet_like, (250, 250, 3), 2, None, None, "Mourya 2018, abstract", "guess",
        "architecture approximate: the branches of leukonet_modified, one of them on density",
    ),
    "leukonet_modified": Architecture(
        branches.leukonet_modified, (250, 250, 3), 2, None, None,
        "repository Elwyslan/leukemia-classification-system, ModifiedLeukonet", "read",
        "the cosine coefficients are computed inside, as log-magnitudes (a guess)",
    ),
    "xie_streams": Architecture(
        branches.xie_streams, (299, 299, 3), 2, None, None, "Xie 2019, as cited by the UFSC deck",
        "guess", "the streams are stated; the last layers, 512 nodes and the classes, are a guess",
        from_backbone=True,
    ),
    "kassani_pair": Architecture(
        branches.kassani_pair, (224, 224, 3), 2, None, None, "Kassani 2019, abstract", "guess",
        "the two networks are read, the layers in between that are joined are a guess",
        from_backbone=True,
    ),
}  # fmt: skip
"""Published networks by name."""


def architectures() -> pd.DataFrame:
    """List the published networks. Keras is not needed.

    Returns
    -------
    DataFrame
        One row per network. Index ``name``; columns ``input_shape``, ``n_classes`` (for which the
        weights are counted), ``n_parameters`` and ``n_trainable`` (missing if not published),
        ``source``, ``certainty`` and ``note``; see `Architecture`.

    Examples
    --------
    >>> from hemafeat import networks
    >>> lenet5 = networks.architectures().loc["lenet5"]
    >>> lenet5["input_shape"], int(lenet5["n_parameters"])
    ((32, 32, 3), 61836)
    """
    rows = [
        {
            "name": name,
            "input_shape": architecture.input_shape,
            "n_classes": architecture.n_classes,
            "n_parameters": architecture.n_parameters,
            "n_trainable": architecture.n_trainable,
            "source": architecture.source,
            "certainty": architecture.certainty,
            "note": architecture.note,
        }
        for name, architecture in ARCHITECTURES.items()
    ]
    dtypes = {"n_parameters": "Int64", "n_trainable": "Int64"}
    return pd.DataFrame(rows).set_index("name").astype(dtypes)


def build(
    name: str,
    n_classes: int,
    *,
    input_shape: tuple[int, int, int] | None = None,
    weights: str | None = None,
    head: Sequence[int] | None = None,
    dropout: float | None = None,
    random_state: int = 0,
) -> Any:
    """Build a published network, or a network of ``keras.applications`` with a head of one's own.

    Parameters
    ----------
    name : str
        Name of the network, see `architectures`; or ``"keras:"`` and the name of a `backbone`, such
        as ``"keras:DenseNet121"``: global average pooling, dense layers and a softmax behind it.
    n_classes : int
        Number of classes, at least 2.
    input_shape : (height, width, channels), optional
        Shape of the images, in px. By default the published one.
    weights : str, optional
        ``"imagenet"`` or a file of weights for the backbone of a network that has one; for other
        networks a file of weights of the whole network: ``.weights.h5``, or, for ResNets, ResNeXts,
        ``vgg16_bn``, ``alexnet_2014`` and ``efficientnet_lite0``, the file of PyTorch (``.pth``,
        ``.pt``, ``.bin``) or ``.safetensors`` of the source that `architectures` names. If it is
        for other classes, the last layer keeps its random weights. By default all weights are
        random.
    head : sequence of int, optional
        Numbers of nodes of the dense layers before the last one, ``dense_1`` and so on, of a
        network named ``"keras:..."``. By default there are none.
    dropout : float, optional
        Rate of the dropout layers of the network. In a network named ``"keras:..."``, which has
        none by default, it creates one behind every dense layer of the head, or behind the pooling
        if there are none.
    random_state : int
        Seed of weights and dropout.

    Returns
    -------
    keras.Model
        Network from (n, H, W, channels) images of 0 to 255 to (n, n_classes) probabilities, or to
        (n, 1), the probability of the second class, for ``mids_baseline`` and ``mids_final`` with
        two classes. It is not compiled. It scales the images itself.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The name is unknown, there are fewer than two classes, the images are too small for the
        network, the weights do not exist or do not fit the network, the head is that of a
        publication, or there is no dropout whose rate could be set.

    Warns
    -----
    UserWarning
        The file of weights has another last layer than the network, which is left out.

    Notes
    -----
    Files of PyTorch are read without PyTorch: nothing that they name is imported or called.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.build("lenet5", 8).count_params()
    61836
    >>> model = networks.build("keras:MobileNet", 8, input_shape=(64, 64, 3), head=[256])
    >>> [layer.name for layer in model.layers[-4:]]
    ['mean', 'dense_1', 'logit', 'probability']
    """
    keras = need_keras("a network on images")
    if n_classes < 2:
        raise ValueError(f"{name}: at least 2 classes are needed, got {n_classes}")
    is_rate = isinstance(dropout, int | float) and not isinstance(dropout, bool)
    if dropout is not None and not (is_rate and 0 <= dropout < 1):
        raise ValueError(f"dropout={dropout!r}: expected a share of at least 0 and below 1")
    if name.startswith(transfer.PREFIX):
        with layer_seed(random_state):
            return transfer.of_backbone(name, input_shape, n_classes, weights, head, dropout)
    if name not in ARCHITECTURES:
        raise ValueError(
            f"no network {name!r}; there are: {', '.join(ARCHITECTURES)}, and "
            f"{transfer.PREFIX}NAME for the backbones of Keras"
        )
    if head is not None:
        raise ValueError(
            f"head={head!r}: {name} has the head of its publication; head needs a network named "
            f"{transfer.PREFIX}NAME, such as {transfer.PREFIX}VGG16"
        )
    architecture = ARCHITECTURES[name]
    shape = input_shape or architecture.input_shape
    if weights is not None and not architecture.from_backbone:
        if weights == "imagenet":
            raise ValueError(f"{name} has no ImageNet weights: give a file of weights, or none")
        if not Path(weights).is_file():
            raise ValueError(f"{weights}: the file of weights does not exist")
    with layer_seed(random_state):
        model = architecture.make(shape, n_classes, weights)
    if weights is not None and not architecture.from_backbone:
        _load(model, name, Path(weights), shape)
    if dropout is not None:
        found = [layer for layer in model.layers if type(layer) is keras.layers.Dropout]
        # Those of a backbone drop whole branches, at rates of its own.
        found = [layer for layer in found if layer.noise_shape is None]
        if not found:
            raise ValueError(f"dropout={dropout!r}: {name} has no dropout")
        for layer in found:
            layer.rate = float(dropout)
    return model


def _load(model: Any, name: str, path: Path, input_shape: tuple[int, int, int]) -> None:
    """Load the weights of a whole network, without the last layer if the file has another.

    Raises
    ------
    WeightsError
        The file holds no weights, or those of another network.
    """
    if is_state_file(path):
        load_state(model, _layout(name, path), path)
        return
    shapes = shapes_of(path)
    n_outputs, last = int(model.output_shape[-1]), shapes[-1] if shapes else ()
    other = len(last) == 1 and last[0] != n_outputs
    source = model
    if other:
        # The network with the classes of the file shows that all other weights fit.
        source = ARCHITECTURES[name].make(input_shape, max(2, last[0]), None)
    try:
        source.load_weights(path)
    except Exception as error:  # Keras raises many kinds of errors for weights that do not fit
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(f"{path}: not weights of {name}: {first}") from None
    if other:
        for layer, given in zip(model.layers, source.layers, strict=True):
            if layer.weights and layer.name != LAST:
                layer.set_weights(given.get_weights())
        warn_left_out(path, name, f"it has {last[0]} outputs in the file, not {n_outputs}")


def _layout(name: str, path: Path) -> str:
    """Return the layout in which a network reads files of PyTorch."""
    if name not in OWN:
        raise WeightsError(
            f"{path}: files of PyTorch are not read for {name}, only for {', '.join(OWN)}"
        )
    return name
