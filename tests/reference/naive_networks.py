"""Networks of torchvision, pretrainedmodels and efficientnet_lite_pytorch in plain NumPy.

They compute from a state dict, whose names and shapes are written here from the definitions of
these libraries, independently of hemafeat. Images are (n, channels, H, W).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import erf

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LITE = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))


def normalised(pixels):
    """Scale (n, H, W, 3) pixels of 0 to 255 as torchvision does."""
    return ((pixels / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2)


def conv(x, kernel, bias=None, *, stride=1, rim=0, groups=1):
    if isinstance(rim, int):
        rim = (rim, rim)
    x = np.pad(x, ((0, 0), (0, 0), rim, rim))
    windows = sliding_window_view(x, kernel.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    parts = zip(np.split(windows, groups, 1), np.split(kernel, groups), strict=True)
    out = [np.tensordot(part, k, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) for part, k in parts]
    out = np.concatenate(out, 1)
    return out if bias is None else out + bias[:, None, None]


def normal(x, state, name, epsilon=1e-5):
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + epsilon)
    shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def most(x, side, stride, rim=0, *, ceil=False):
    """Take maxima; with `ceil` the last window may reach beyond the maps."""
    after = -(x.shape[2] + 2 * rim - side) % stride if ceil else 0
    x = np.pad(x, ((0, 0), (0, 0), (rim, rim + after), (rim, rim + after)), constant_values=-np.inf)
    return sliding_window_view(x, (side, side), (2, 3))[:, :, ::stride, ::stride].max((4, 5))


def relu(x):
    return np.maximum(x, 0)


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def resnet(state, x, *, groups=1):
    """Compute the logits of a (SE-)ResNet or ResNeXt; its depth is read from the names."""
    squeezed = "layer0.conv1.weight" in state
    start = "layer0." if squeezed else ""
    x = relu(normal(conv(x, state[f"{start}conv1.weight"], stride=2, rim=3), state, f"{start}bn1"))
    x = most(x, 3, 2, ceil=True) if squeezed else most(x, 3, 2, 1)
    for stage in range(1, 5):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            x = relu(residual_block(state, x, name, stride, groups))
            block += 1
    return linear(x.mean((2, 3)), state, "last_linear" if squeezed else "fc")


def residual_block(state, x, name, stride, groups):
    def step(y, i, **given):
        return normal(conv(y, state[f"{name}.conv{i}.weight"], **given), state, f"{name}.bn{i}")

    if f"{name}.conv3.weight" in state:
        y = relu(step(x, 1))
        y = relu(step(y, 2, stride=stride, rim=1, groups=groups))
        y = step(y, 3)
    else:
        y = step(relu(step(x, 1, stride=stride, rim=1)), 2, rim=1)
    if f"{name}.se_module.fc1.weight" in state:
        gate = y.mean((2, 3), keepdims=True)
        for i, active in ((1, relu), (2, lambda v: 1 / (1 + np.exp(-v)))):
            part = f"{name}.se_module.fc{i}"
            gate = active(conv(gate, state[f"{part}.weight"], state[f"{part}.bias"]))
        y = y * gate
    if f"{name}.downsample.0.weight" in state:
        x = conv(x, state[f"{name}.downsample.0.weight"], stride=stride)
        x = normal(x, state, f"{name}.downsample.1")
    return x + y


def vgg16_bn(state, x):
    number = 0
    for depth in (2, 2, 3, 3, 3):
        for _ in range(depth):
            name = f"features.{number}"
            x = conv(x, state[f"{name}.weight"], state[f"{name}.bias"], rim=1)
            x = relu(normal(x, state, f"features.{number + 1}"))
            number += 3
        x, number = most(x, 2, 2), number + 1
    x = x.reshape(len(x), -1)
    return dense(state, x, (0, 3, 6))


def alexnet(state, x):
    for number, stride, rim in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        name = f"features.{number}"
        x = relu(conv(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride, rim=rim))
        if number in (0, 3, 10):
            x = most(x, 3, 2)
    return dense(state, x.reshape(len(x), -1), (1, 4, 6))


def dense(state, x, numbers):
    first, second, last = (f"classifier.{number}" for number in numbers)
    return linear(relu(linear(relu(linear(x, state, first)), state, second)), state, last)


def efficientnet_lite0(state, pixels):
    """Compute the last maps from (n, H, W, 3) pixels of 0 to 255."""

    def step(x, kernel, bn, stride=1, active=True, groups=1):
        side = state[kernel].shape[2]
        total = max((-(-x.shape[2] // stride) - 1) * stride + side - x.shape[2], 0)
        rim = (total // 2, total - total // 2)
        x = conv(x, state[kernel], stride=stride, rim=rim, groups=groups)
        x = normal(x, state, bn, 1e-3)
        return np.clip(x, 0, 6) if active else x

    x = (pixels.transpose(0, 3, 1, 2) - 127.0) / 128.0
    x, number = step(x, "_conv_stem.weight", "_bn0", 2), 0
    for repeats, _, stride in LITE:
        for repeat in range(repeats):
            name, y = f"_blocks.{number}", x
            if f"{name}._expand_conv.weight" in state:
                y = step(y, f"{name}._expand_conv.weight", f"{name}._bn0")
            pace = stride if repeat == 0 else 1
            y = step(y, f"{name}._depthwise_conv.weight", f"{name}._bn1", pace, groups=y.shape[1])
            y = step(y, f"{name}._project_conv.weight", f"{name}._bn2", active=False)
            x = x + y if y.shape == x.shape else y
            number += 1
    return step(x, "_conv_head.weight", "_bn1")


def dinov2(state, x, n_heads):
    """Compute the class token of DINOv2, one image and one head after the other."""
    patches = conv(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    grid = patches.shape[2]
    places = positions(state["pos_embed"][0, 1:], grid)
    first = state["cls_token"][0] + state["pos_embed"][0, :1]
    out = []
    for image in patches:
        tokens = np.concatenate([first, image.reshape(len(image), -1).T + places])
        block = 0
        while f"blocks.{block}.norm1.weight" in state:
            part = {
                name.removeprefix(f"blocks.{block}."): array
                for name, array in state.items()
                if name.startswith(f"blocks.{block}.")
            }
            tokens = tokens + attention(part, tokens, n_heads) * part["ls1.gamma"]
            tokens = tokens + feed_forward(part, tokens) * part["ls2.gamma"]
            block += 1
        out.append(layer_normal(state, tokens, "norm")[0])
    return np.array(out)


def attention(part, tokens, n_heads):
    qkv = linear(layer_normal(part, tokens, "norm1"), part, "attn.qkv")
    heads = []
    for query, key, value in zip(
        *(np.split(third, n_heads, 1) for third in np.split(qkv, 3, 1)), strict=True
    ):
        near = np.exp(query @ key.T / np.sqrt(query.shape[1]))
        heads.append(near / near.sum(1, keepdims=True) @ value)
    return linear(np.concatenate(heads, 1), part, "attn.proj")


def feed_forward(part, tokens):
    x = layer_normal(part, tokens, "norm2")
    if "mlp.w12.weight" in part:
        gate, x = np.split(linear(x, part, "mlp.w12"), 2, 1)
        return linear(gate / (1 + np.exp(-gate)) * x, part, "mlp.w3")
    x = linear(x, part, "mlp.fc1")
    return linear(x * (1 + erf(x / np.sqrt(2))) / 2, part, "mlp.fc2")


def layer_normal(state, x, name):
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    return x * state[f"{name}.weight"] + state[f"{name}.bias"]


def positions(given, side):
    """Resize the positions of a square grid by bicubic interpolation, place by place."""
    old = int(np.sqrt(len(given)))
    if old == side:
        return given
    out = np.zeros((side, side, given.shape[1]))
    for row in range(side):
        for column in range(side):
            # DINOv2 adds .1 to the side, and PyTorch divides by the factor it is given.
            y, x = ((i + 0.5) * old / (side + 0.1) - 0.5 for i in (row, column))
            for i in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
                for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                    place = np.clip(i, 0, old - 1) * old + np.clip(j, 0, old - 1)
                    out[row, column] += cubic(y - i) * cubic(x - j) * given[place]
    return out.reshape(side * side, -1)


def cubic(t, a=-0.75):
    t = abs(t)
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0


class Drawn:
    """Draws a state dict array by array."""

    def __init__(self, seed=0):
        self.rng, self.state = np.random.default_rng(seed), {}

    def conv(self, name, n_out, n_in, side, *, bias=False):
        scale = np.sqrt(2 / (n_in * side**2))
        self.put(f"{name}.weight", self.rng.normal(0, scale, (n_out, n_in, side, side)))
        if bias:
            self.put(f"{name}.bias", self.rng.normal(0, 0.1, n_out))

    def linear(self, name, n_out, n_in):
        self.put(f"{name}.weight", self.rng.standard_normal((n_out, n_in), np.float32) / n_in**0.5)
        self.put(f"{name}.bias", self.rng.normal(0, 0.1, n_out))

    def normal(self, name, n):
        for part in ("weight", "running_var"):
            self.put(f"{name}.{part}", self.rng.uniform(0.5, 1.5, n))
        for part in ("bias", "running_mean"):
            self.put(f"{name}.{part}", self.rng.normal(0, 0.2, n))
        self.state[f"{name}.num_batches_tracked"] = np.array(3, np.int64)

    def put(self, name, values):
        self.state[name] = values.astype(np.float32)


def resnet_state(
    depths, n_classes, *, bottleneck=True, groups=1, group_width=64, squeeze=False, seed=0
):
    """Draw the state dict of torchvision's, or with `squeeze` of pretrainedmodels', networks."""
    drawn, start = Drawn(seed), "layer0." if squeeze else ""
    drawn.conv(f"{start}conv1", 64, 3, 7)
    drawn.normal(f"{start}bn1", 64)
    n_in = 64
    for stage, depth in enumerate(depths):
        planes = 64 * 2**stage
        n_out = 4 * planes if bottleneck else planes
        width = int(planes * group_width / 64) * groups if bottleneck else planes
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            sizes = [(width, n_in, 1), (width, width // groups, 3), (n_out, width, 1)]
            if not bottleneck:
                sizes = [(planes, n_in, 3), (planes, planes, 3)]
            for i, size in enumerate(sizes, 1):
                drawn.conv(f"{name}.conv{i}", *size)
                drawn.normal(f"{name}.bn{i}", size[0])
            if squeeze:
                drawn.conv(f"{name}.se_module.fc1", n_out // 16, n_out, 1, bias=True)
                drawn.conv(f"{name}.se_module.fc2", n_out, n_out // 16, 1, bias=True)
            if block == 0 and (stage > 0 or n_in != n_out):
                drawn.conv(f"{name}.downsample.0", n_out, n_in, 1)
                drawn.normal(f"{name}.downsample.1", n_out)
            n_in = n_out
    drawn.linear("last_linear" if squeeze else "fc", n_classes, n_in)
    return drawn.state


def vgg16_bn_state(n_classes, n_flat, seed=0):
    drawn, number, n_in = Drawn(seed), 0, 3
    for n_out, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            drawn.conv(f"features.{number}", n_out, n_in, 3, bias=True)
            drawn.normal(f"features.{number + 1}", n_out)
            number, n_in = number + 3, n_out
        number += 1
    for i, n_out, n in ((0, 4096, n_flat), (3, 4096, 4096), (6, n_classes, 4096)):
        drawn.linear(f"classifier.{i}", n_out, n)
    return drawn.state


def alexnet_state(n_classes, n_flat, seed=0):
    drawn = Drawn(seed)
    sizes = ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3))
    for i, n_out, n_in, side in sizes:
        drawn.conv(f"features.{i}", n_out, n_in, side, bias=True)
    for i, n_out, n in ((1, 4096, n_flat), (4, 4096, 4096), (6, n_classes, 4096)):
        drawn.linear(f"classifier.{i}", n_out, n)
    return drawn.state


def dinov2_state(width, depth, side, *, gated=False, seed=0):
    drawn = Drawn(seed)
    drawn.put("cls_token", drawn.rng.normal(0, 1, (1, 1, width)))
    drawn.put("pos_embed", drawn.rng.normal(0, 0.5, (1, 1 + side**2, width)))
    drawn.put("mask_token", np.zeros((1, width)))
    drawn.conv("patch_embed.proj", width, 3, 14, bias=True)
    hidden = (int(4 * width * 2 / 3) + 7) // 8 * 8 if gated else 4 * width
    for block in range(depth):
        name = f"blocks.{block}"
        drawn.linear(f"{name}.attn.qkv", 3 * width, width)
        drawn.linear(f"{name}.attn.proj", width, width)
        drawn.linear(f"{name}.mlp.w12" if gated else f"{name}.mlp.fc1", hidden * (1 + gated), width)
        drawn.linear(f"{name}.mlp.w3" if gated else f"{name}.mlp.fc2", width, hidden)
        for part in ("norm1.weight", "norm2.weight", "ls1.gamma", "ls2.gamma"):
            drawn.put(f"{name}.{part}", drawn.rng.uniform(0.5, 1.5, width))
        for part in ("norm1.bias", "norm2.bias"):
            drawn.put(f"{name}.{part}", drawn.rng.normal(0, 0.2, width))
    drawn.put("norm.weight", drawn.rng.uniform(0.5, 1.5, width))
    drawn.put("norm.bias", drawn.rng.normal(0, 0.2, width))
    return drawn.state
