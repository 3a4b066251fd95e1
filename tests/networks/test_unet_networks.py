"""U-Net and FCN-8s: counts, shapes, loss against NumPy, training that resumes, ONNX in OpenCV."""

from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, networks, segment
from hemafeat._machine import how_to_install
from hemafeat.networks._segmentation import training as _train_segmentation
from hemafeat.segment import UNET_SIDE
from hemafeat.segment._unet import tiles as _tiles
from hemafeat.testing import check_segmenter
from support.unsettled import unsettled

pytestmark = pytest.mark.networks


def small(random_state):
    return networks.unet((8, 12), random_state=random_state)


SMALL = {"network": small, "side": 64, "batch_size": 4, "n_validation": 2}


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx", reason="onnx is not installed")


def separable(n_in, n_out):
    return 9 * n_in + n_in * n_out + 4 * n_out


def expected_parameters(channels):
    """Count by hand: stem, blocks of two separable convolutions, reductions, logits."""
    total = 48 * channels[0] + 4 * channels[0]
    before = channels[0]
    for n in channels:
        total += separable(before, n) + separable(n, n)
        before = n
    for n, below in pairwise(channels):
        total += below * n + 4 * n + 2 * separable(n, n)
    return total + 4 * channels[0] * 6 + 6


@pytest.mark.parametrize("channels", [(8, 12), (24, 48, 96, 160)])
def test_the_unet_has_as_many_parameters_as_its_layers_by_hand(keras, channels):
    assert networks.unet(channels).count_params() == expected_parameters(channels)


def test_the_default_unet_is_small(keras):
    assert 100_000 < networks.unet().count_params() < 300_000


def test_a_unet_takes_any_multiple_of_its_step(keras):
    model = networks.unet((8, 12, 16))
    for shape in ((32, 48), (64, 64)):
        assert model.predict(np.zeros((1, *shape, 3)), verbose=0).shape == (1, *shape, 6)


def test_the_seed_alone_decides_the_weights(keras):
    one, two, other = (networks.unet((8, 12), random_state=seed) for seed in (3, 3, 4))
    keras.utils.set_random_seed(1)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: networks.unet((8,)), "two entries"),
        (lambda: networks.unet((8, 12, 16), side=30), "multiple of 8"),
        (lambda: networks.fcn8s(side=100), "multiple of 32"),
    ],
)
def test_sizes_that_cannot_be_are_refused(keras, make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_fcn8s_has_the_layers_of_long_shelhamer_and_darrell(keras):
    n, dense = 3, 32
    model = networks.fcn8s(n, side=64, n_dense=dense)
    body = 14_714_688  # VGG16 without its top
    heads = 512 * 49 * dense + dense + dense * dense + dense
    scores = (dense * n + n) + (512 * n + n) + (256 * n + n)
    enlarged = n * n * (4 * 4 + 4 * 4 + 16 * 16)
    assert model.count_params() == body + heads + scores + enlarged
    assert model.output_shape == (None, 64, 64, n)


def test_enlarging_begins_as_bilinear_interpolation(keras):
    model = networks.fcn8s(2, side=32, n_dense=4)
    layer = model.get_layer("logits")
    ramp = np.tile(np.arange(12, dtype=np.float32)[:, None], (1, 12))
    out = keras.ops.convert_to_numpy(layer(np.stack([ramp, 3 * ramp], axis=-1)[None]))[0]
    want = cv2.resize(ramp, (96, 96), interpolation=cv2.INTER_LINEAR)
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(out[..., 0][inner], want[inner], atol=1e-5)
    np.testing.assert_allclose(out[..., 1][inner], 3 * want[inner], atol=1e-5)


POSSIBLE = {0: [0], 1: [1], 2: [2], 3: [3], 4: [4], 5: [0, 1, 2], 6: [0, 1, 2, 3, 4]}
"""The predicted classes that agree with each class of the truth."""


def naive_loss(logits, classes, depth):
    """Compute the three terms of one sample pixel by pixel."""
    crossed = apart = 0.0
    cell, nucleus = np.zeros(3), np.zeros(3)  # of guess and truth: both, guess, truth
    height, width = classes.shape
    for y in range(height):
        for x in range(width):
            e = np.exp(logits[y, x, :5] - logits[y, x, :5].max())
            p = e / e.sum()
            true = classes[y, x]
            crossed -= np.log(sum(p[one] for one in POSSIBLE[true]))
            if true == 6:
                continue
            for sums, guess, is_true in (
                (cell, p[3] + p[4], true in (3, 4)),
                (nucleus, p[4], true == 4),
            ):
                sums += [guess * is_true, guess, is_true]
            d, q = depth[y, x], 1 / (1 + np.exp(-logits[y, x, 5]))
            apart -= d * np.log(q) + (1 - d) * np.log(1 - q)
            if 0 < d < 1:
                apart += d * np.log(d) + (1 - d) * np.log(1 - d)
    dice = [(2 * s[0] + 1) / (s[1] + s[2] + 1) for s in (cell, nucleus)]
    n = height * width
    return crossed / n + 1 - np.mean(dice) + apart / n


def test_the_loss_is_that_of_plain_python(keras):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, 6, 7, 6)).astype(np.float32)
    classes = rng.integers(0, 7, (3, 6, 7))
    classes[2] = 5
    depth = np.where(np.isin(classes, [3, 4]), rng.random((3, 6, 7)), 0).astype(np.float32)
    got = keras.ops.convert_to_numpy(networks.segmentation_loss(logits, classes, depth))
    want = [naive_loss(*one) for one in zip(logits.astype(float), classes, depth, strict=True)]
    # Depths of 0 count as 1e-6: 1.5e-5 per pixel.
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_perfect_answer_costs_next_to_nothing(keras):
    classes = np.zeros((1, 16, 16), int)
    classes[0, 3:12, 3:12], classes[0, 5:9, 5:9], classes[0, 14:] = 3, 4, 1
    depth = (classes >= 3).astype(np.float32) * 0.5
    logits = 40.0 * np.eye(6, dtype=np.float32)[classes]
    logits[..., 5] = np.where(classes >= 3, 0.0, -40.0)
    assert float(networks.segmentation_loss(logits, classes, depth)[0]) < 1e-3
    # Where it is only known that there is no white cell, red cells cost nothing either; what is
    # unknown may be anything.
    classes[0, 14:, :8], classes[0, 14:, 8:] = 5, 6
    assert float(networks.segmentation_loss(logits, classes, depth)[0]) < 1e-3


@pytest.mark.parametrize(("side", "blocks"), [(64, False), (64, True), (UNET_SIDE, True)])
def test_opencv_and_keras_give_the_same_scores(keras, onnx, tmp_path, side, blocks):
    model = unsettled(networks.unet(), 0.5)
    path = networks.export_onnx(
        model, tmp_path / "network.onnx", blocks=blocks, notes={"um_per_px": "0.2"}
    )
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert ("ConvTranspose" in kinds) is not blocks
    rng = np.random.default_rng(1)
    density = rng.integers(0, 200, (side, side, 3)).astype(np.uint8)
    want = model.predict(density[None] * np.float32(0.01), verbose=0)[0]
    got = _tiles.predict_logits(density, path).transpose(1, 2, 0)
    np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max())
    notes = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert notes == {"um_per_px": "0.2"}


def test_onnx_runtime_gives_the_same_scores(keras, onnx, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = unsettled(networks.fcn8s(side=64, n_dense=16), 0.5)
    path = networks.export_onnx(model, tmp_path / "fcn.onnx")
    given = np.random.default_rng(2).normal(0, 50, (2, 64, 64, 3)).astype(np.float32)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    got = session.run(None, {"density": given.transpose(0, 3, 1, 2)})[0]
    want = model.predict(given, verbose=0)
    np.testing.assert_allclose(got.transpose(0, 2, 3, 1), want, atol=1e-4 * np.abs(want).max())


def test_a_layer_that_cannot_be_written_is_named(keras, onnx, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Softmax(name="soft")])
    with pytest.raises(ValueError, match="'soft' is a Softmax"):
        networks.export_onnx(model, tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


def test_a_training_cut_off_ends_where_it_would_have(keras, onnx, tmp_path):
    settings = SMALL | {"epochs": 3, "steps": 3, "learning_rate": 5e-2}
    whole = networks.train_segmenter(out=tmp_path / "whole", **settings)
    first = networks.train_segmenter(out=tmp_path / "cut", max_minutes=1e-9, **settings)
    # Killed amid the second epoch: what it left aside must not matter.
    for left in ("checkpoint-0000.keras", "checkpoint-0002.keras"):
        (tmp_path / "cut" / left).write_bytes(b"half a file")
    rest = networks.train_segmenter(out=tmp_path / "cut", **settings)
    assert (len(first), len(rest), len(whole)) == (1, 3, 3)
    # Epochs differ by far more than that tolerance: one run twice, or left out, would show.
    both = whole[["loss", "val_loss"]].to_numpy()
    assert abs(np.diff(both, axis=0) / both[:-1]).max(axis=1).min() > 5e-3
    # Sums in TensorFlow differ in the last digits from run to run.
    columns = ["loss", "val_loss", "learning_rate"]
    np.testing.assert_allclose(rest[columns], whole[columns], rtol=1e-3)
    again = networks.train_segmenter(out=tmp_path / "cut", **settings)
    np.testing.assert_array_equal(again["seconds"], rest["seconds"])
    assert sorted(file.name for file in (tmp_path / "cut").iterdir()) == [
        "checkpoint-0003.keras",
        "curves.png",
        "history.csv",
        "network.keras",
        "network.onnx",
        "state.json",
    ]
    with pytest.raises(ValueError, match="with steps 3, not 4"):
        networks.train_segmenter(out=tmp_path / "cut", **settings | {"steps": 4})


@pytest.mark.parametrize(
    ("losses", "judged"),
    [
        ([3.0], (0, False)),
        ([3.0, 2.0, 2.5], (1, False)),
        ([3.0, 2.0, 2.5, 2.0], (1, True)),
        ([3.0, 2.0, 2.5, 1.9], (3, False)),
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.5], (5, True)),
    ],
)
def test_training_stops_after_two_epochs_without_gain_or_at_the_last(losses, judged):
    assert _train_segmentation._best_epoch(losses, patience=2, epochs=6) == judged


def test_the_rate_rises_and_falls():
    rates = [_train_segmentation._rate(0.1, step, 10, 5) for step in range(50)]
    assert np.argmax(rates) in (9, 10)
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] == pytest.approx(0.01)
    assert 0.001 <= rates[-1] < 0.0016
    assert (np.diff(rates[:9]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()


def discs(folder, n, seed):
    """Write images of dark discs in paler ones on white, and their trimaps."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir()
    for i in range(n):
        image = np.full((96, 96, 3), 240, np.uint8)
        mask = np.zeros((96, 96), np.uint8)
        centre = tuple(int(v) for v in rng.integers(36, 60, 2))
        radius = int(rng.integers(20, 28))
        cv2.circle(image, centre, radius, (200, 150, 210), cv2.FILLED)
        cv2.circle(mask, centre, radius, 128, cv2.FILLED)
        cv2.circle(image, centre, 7 * radius // 10, (90, 50, 160), cv2.FILLED)
        cv2.circle(mask, centre, 7 * radius // 10, 255, cv2.FILLED)
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        for name, data in (("image", image[:, :, ::-1]), ("mask", mask)):
            cv2.imwrite(str(folder / f"{name}_{i}.png"), data)
        rows.append(
            {"image": str(folder / f"image_{i}.png"), "mask": str(folder / f"mask_{i}.png")}
        )
    return pd.DataFrame(rows)


def test_a_tiny_net_learns_discs_within_seconds_and_opencv_outlines_them(keras, onnx, tmp_path):
    networks.train_segmenter(
        discs(tmp_path / "learned", 12, 0),
        out=tmp_path / "net",
        drawn=0.0,
        side=96,
        network=lambda random_state: networks.unet((8, 16, 24), random_state=random_state),
        epochs=2,
        steps=25,
        batch_size=4,
        n_validation=2,
        learning_rate=1e-2,
    )
    weights = tmp_path / "net" / "network.onnx"
    kept = keras.models.load_model(tmp_path / "net" / "network.keras")
    assert kept.count_params() == expected_parameters((8, 16, 24))
    held = discs(tmp_path / "held", 4, 1)
    for row in held.itertuples():
        image = cv2.cvtColor(cv2.imread(row.image), cv2.COLOR_BGR2RGB)
        truth = segment.read_masks(row.mask, kind="trimap")
        masks = segment.unet(image, weights=weights)
        scores = segment.score(masks, truth)
        assert masks.n_cells == 1
        assert scores["dice_cell"].min() > 0.93
        assert scores["dice_nucleus"].min() > 0.9


def test_fcn8s_is_trained_and_run_in_the_place_of_the_unet(keras, onnx, tmp_path):
    history = networks.train_segmenter(
        out=tmp_path,
        network=lambda seed: networks.fcn8s(6, side=None, n_dense=8, random_state=seed),
        side=32,
        batch_size=2,
        epochs=1,
        steps=1,
        n_validation=1,
    )
    assert np.isfinite(history["val_loss"]).all()
    image = datasets.draw_cell("lymphocyte", random_state=0).image
    # After one step what it outlines means nothing, but it is run to the end.
    masks = segment.unet(image, weights=tmp_path / "network.onnx")
    assert masks.shape == image.shape[:2]


def test_a_training_can_begin_where_another_ended(keras, onnx, tmp_path):
    settings = SMALL | {"epochs": 1, "steps": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    model = small(7)
    model.save(tmp_path / "first.keras")
    networks.train_segmenter(out=tmp_path / "next", start=tmp_path / "first.keras", **settings)
    gone_on = keras.models.load_model(tmp_path / "next" / "network.keras")
    for was, now in zip(model.trainable_weights, gone_on.trainable_weights, strict=True):
        np.testing.assert_allclose(np.asarray(now), np.asarray(was), atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"gone\.keras"):
        networks.train_segmenter(out=tmp_path / "a", start=tmp_path / "gone.keras", **settings)
    with pytest.raises(ValueError, match="holds a network other than unet"):
        networks.train_segmenter(
            out=tmp_path / "b", start=tmp_path / "first.keras", **settings | {"network": "unet"}
        )


def test_a_network_nobody_knows_is_refused(keras, tmp_path):
    with pytest.raises(ValueError, match="there are: unet, fcn8s"):
        networks.train_segmenter(out=tmp_path / "x", network="segnet")
    assert not list(tmp_path.iterdir())


def test_training_says_what_it_lacks(tmp_path):
    code = """
import sys
sys.modules["keras"] = None
from hemafeat import networks
for make in (networks.unet, networks.fcn8s, lambda: networks.train_segmenter(out="x")):
    try:
        make()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.count(how_to_install("keras", "deep")) == 3, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_table_without_masks_is_refused():
    table = datasets.as_table(pd.DataFrame({"image": ["a.png"], "label": ["lymphocyte"]}))
    with pytest.raises(ValueError, match="no masks"):
        networks.SegmentationSamples(table)


def test_the_network_of_the_package_is_the_same_in_keras_and_in_onnx(keras, onnx, tmp_path):
    shipped = _tiles.UNET_WEIGHTS
    model = networks.load_network(shipped.with_suffix(".keras"))
    assert model.count_params() == networks.unet().count_params()
    written = networks.export_onnx(model, tmp_path / "again.onnx", blocks=True)
    field = datasets.draw_field(["lymphocyte", "neutrophil"], random_state=5).image
    given, again = (segment.unet(field, weights=path) for path in (shipped, written))
    assert given.n_cells == 2
    np.testing.assert_array_equal(again.cell, given.cell)
    np.testing.assert_array_equal(again.nucleus, given.nucleus)
    shape = (UNET_SIDE, UNET_SIDE, 3)
    density = np.random.default_rng(0).integers(0, 100, shape, dtype=np.uint8)
    logits = _tiles.predict_logits(density, shipped)
    seen = model(density[None] * np.float32(0.01), training=False)
    seen = keras.ops.convert_to_numpy(seen)[0]
    np.testing.assert_allclose(logits.transpose(1, 2, 0), seen, atol=2e-4)


def test_a_trained_network_keeps_the_contract_of_a_segmenter(keras, onnx, tmp_path):
    path = networks.export_onnx(networks.unet((8, 12)), tmp_path / "unet.onnx")
    for name in (f"unet:{path}", f"best:{path}"):
        check_segmenter(name)
        image = np.full((50, 60, 3), 230, np.uint8)
        again = pickle.loads(pickle.dumps(segment.segmenter(name)))
        assert again(image).shape == (50, 60)
    path = networks.export_onnx(networks.fcn8s(side=UNET_SIDE, n_dense=4), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"other\.onnx returned \(1, 3, 128, 128\)"):
        segment.unet(np.full((40, 40, 3), 230, np.uint8), weights=path)
