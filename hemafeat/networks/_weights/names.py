"""Names that PyTorch gives to the arrays of networks of this package."""

from __future__ import annotations

import re

from hemafeat.networks._own import VGG16_BN_BLOCKS

_STAGE = re.compile(r"stage_(\d)_(\d+)_([a-z]+?)(?:_(conv|normal))?")
_BLOCK = re.compile(r"block_(\d+)_(expand|depth|project)_(conv|normal)")


def module_of(network: str, layer: str) -> str:
    """Return the name of the PyTorch module of a layer.

    Parameters
    ----------
    network : str
        Name of the network in `OWN`.
    layer : str
        Name of a layer with weights.

    Returns
    -------
    str
        Name as in torchvision; for ``se_resnext50`` as in pretrainedmodels, for
        ``efficientnet_lite0`` as in efficientnet_lite_pytorch.
    """
    if network == "efficientnet_lite0":
        return _lite(layer)
    if network.startswith("dinov2"):
        ends = {"patches": "patch_embed.proj", "tokens": "", "normal": "norm", "logit": "head"}
        return ends[layer] if layer in ends else layer.replace("block_", "blocks.")
    if network in ("vgg16_bn", "alexnet_2014"):
        return _FEATURES[network][layer]
    squeezed = network == "se_resnext50"
    start = "layer0." if squeezed else ""
    ends = {
        "start_conv": f"{start}conv1",
        "start_normal": f"{start}bn1",
        "logit": "last_linear" if squeezed else "fc",
    }
    match = _STAGE.fullmatch(layer)
    if match is None:
        return ends[layer]
    stage, block, part, kind = match.groups()
    prefix = f"layer{stage}.{int(block) - 1}"
    if part in ("reduce", "excite"):
        return f"{prefix}.se_module.fc{1 if part == 'reduce' else 2}"
    if part == "short":
        return f"{prefix}.downsample.{0 if kind == 'conv' else 1}"
    return f"{prefix}.{'conv' if kind == 'conv' else 'bn'}{'abc'.index(part) + 1}"


def _lite(layer: str) -> str:
    ends = {
        "start_conv": "_conv_stem",
        "start_normal": "_bn0",
        "end_conv": "_conv_head",
        "end_normal": "_bn1",
        "logit": "_fc",
    }
    match = _BLOCK.fullmatch(layer)
    if match is None:
        return ends[layer]
    block, part, kind = match.groups()
    conv = {"expand": "_expand_conv", "depth": "_depthwise_conv", "project": "_project_conv"}[part]
    normal = {"expand": "_bn0", "depth": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{block}.{conv if kind == 'conv' else normal}"


def _vgg_layers() -> dict[str, str]:
    """Number the modules: convolution, normalisation and ReLU, and pooling after a block."""
    names, number = {}, 0
    for block, (_, depth) in enumerate(VGG16_BN_BLOCKS, 1):
        for step in range(1, depth + 1):
            names[f"block_{block}_{step}_conv"] = f"features.{number}"
            names[f"block_{block}_{step}_normal"] = f"features.{number + 1}"
            number += 3
        number += 1
    ends = {"dense_1": "classifier.0", "dense_2": "classifier.3", "logit": "classifier.6"}
    return {**names, **ends}


_FEATURES = {
    "vgg16_bn": _vgg_layers(),
    "alexnet_2014": {
        **{f"conv_{i}": f"features.{n}" for i, n in enumerate((0, 3, 6, 8, 10), 1)},
        "dense_1": "classifier.1",
        "dense_2": "classifier.4",
        "logit": "classifier.6",
    },
}
"""Modules of networks that torchvision numbers."""
