"""Layers of published networks compared with scikit-image, SciPy, Matplotlib and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn
from skimage.color import rgb_from_hed, separate_stains

keras = pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")

from hemafeat import networks  # noqa: E402
from hemafeat.networks import _layers  # noqa: E402

pytestmark = pytest.mark.networks


def some_images(shape=(2, 16, 24, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def worked(layer, values):
    return keras.ops.convert_to_numpy(layer(values))


def test_stain_deconvolution_has_nine_weights_and_is_scikit_images():
    images = some_images()
    # Where scikit-image is given the densities of Ruifrok and Johnston, it divides by log(1e-6) and
    # cuts at 0; before the cut the two are the same product.
    rgb = np.maximum(images / 255.0, 1e-6).astype(np.float64)
    expected = separate_stains(rgb, np.linalg.inv(rgb_from_hed))
    density = (np.log(rgb) / np.log(1e-6)).astype(np.float32)
    layer = networks.stain_deconvolution(rgb_from_hed)
    found = worked(layer, density)
    assert layer.count_params() == 9
    # The layer takes rows of length 1; scikit-image takes them as printed.
    lengths = np.linalg.norm(rgb_from_hed, axis=1)
    np.testing.assert_allclose(np.maximum(found / lengths, 0), expected, atol=1e-6)


def test_stains_of_one_dye_come_apart():
    amounts = np.array([[[[0.7, 0.0, 0.2], [0.0, 1.1, 0.0]]]], dtype=np.float32)
    rows = rgb_from_hed / np.linalg.norm(rgb_from_hed, axis=1, keepdims=True)
    found = worked(networks.stain_deconvolution(rgb_from_hed), (amounts @ rows).astype(np.float32))
    np.testing.assert_allclose(found, amounts, atol=1e-6)


def test_stains_are_learned():
    layer = networks.stain_deconvolution(rgb_from_hed)
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(layer(image)))
    model.compile("sgd", "mse", jit_compile=False)
    before = keras.ops.convert_to_numpy(layer.kernel).copy()
    model.train_on_batch(some_images((2, 8, 8, 3)) / 255.0, np.ones((2, 3)))
    assert (keras.ops.convert_to_numpy(layer.kernel) != before).all()


@pytest.mark.parametrize("stains", [np.ones((3, 3)), np.zeros((3, 3)), np.eye(2)])
def test_stains_that_cannot_be_told_apart_are_refused(stains):
    with pytest.raises(ValueError, match="stains"):
        networks.stain_deconvolution(stains)


def test_two_stains_are_followed_by_the_direction_at_right_angles():
    kernel = worked(networks.stain_deconvolution("haematoxylin_eosin"), np.eye(3, dtype="f4"))
    rows = np.linalg.inv(kernel)
    assert rows[2] @ rows[0] == pytest.approx(0, abs=1e-6)
    assert rows[2] @ rows[1] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-6)
    # The rows of scikit-image are those of Ruifrok and Johnston as well.
    for row, known in zip(rows, rgb_from_hed[:2], strict=False):
        assert row @ (known / np.linalg.norm(known)) == pytest.approx(1, abs=1e-3)


def test_a_reference_cell_gives_the_classic_deconvolution_with_its_stains(tmp_path):
    import cv2

    from hemafeat import datasets, images

    cell = datasets.draw_cell("lymphocyte", random_state=0).image
    vectors = images.Macenko().stains(cell)[0]
    third = np.cross(*vectors)
    rows = np.vstack([vectors, third / np.linalg.norm(third)])
    density = -np.log((cell.astype(np.float64) + 1) / 256)
    expected = density @ np.linalg.inv(rows)
    found = worked(networks.stain_deconvolution(cell), density.astype("f4"))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # scikit-image divides by log(1e-6) and cuts at 0.
    classic = separate_stains(np.exp(-density), np.linalg.inv(rows))
    np.testing.assert_allclose(np.maximum(found, 0) / -np.log(1e-6), classic, atol=1e-6)
    path = tmp_path / "cell.png"
    cv2.imwrite(str(path), cell[..., ::-1])
    again = worked(networks.stain_deconvolution(str(path)), density.astype("f4"))
    np.testing.assert_array_equal(again, found)


def test_unknown_stains_say_which_there_are():
    with pytest.raises(ValueError, match="there are: azure_eosin, haematoxylin_eosin"):
        networks.stain_deconvolution("giemsa")
    with pytest.raises(ValueError, match="sd_tcnn, sd_alexnet"):
        networks.StainedNetwork("resnet18")


def test_a_stained_network_starts_from_its_stains():
    from sklearn.base import clone

    from hemafeat import datasets, pipelines

    cell = datasets.draw_cell("monocyte", random_state=1).image
    network = networks.StainedNetwork("sd_tcnn", cell)
    model = clone(pipelines.NetworkClassifier(network, size=67)).build(2)
    expected = worked(networks.stain_deconvolution(cell), np.eye(3, dtype="f4"))
    np.testing.assert_array_equal(
        worked(model.get_layer("stains"), np.eye(3, dtype="f4")), expected
    )
    # Black surroundings of a cell that was cut out are empty, not the densest stain.
    quantities = keras.Model(model.input, model.get_layer("tanh").output)
    assert np.abs(worked(quantities, np.zeros((1, 67, 67, 3), "f4"))).max() == 0


def test_a_stained_network_is_stored_without_pickle():
    import skops.io

    from hemafeat.pipelines import _store

    network = networks.StainedNetwork("sd_alexnet", "haematoxylin_eosin")
    data = skops.io.dumps(network)
    assert not set(skops.io.get_untrusted_types(data=data)) - set(_store._TRUSTED)
    assert skops.io.loads(data, trusted=list(_store._TRUSTED)) == network


def test_the_box_of_a_cell_is_that_of_its_mask():
    images = np.zeros((4, 20, 30, 3), np.float32)
    images[0, 4:9, 10:25] = 100
    images[1, 0:20, 3:4, 1] = 9
    images[3] = 200
    layer = _layers.BoxLoss(weight=2.0)
    box, known = (keras.ops.convert_to_numpy(part) for part in layer.boxes(images))
    np.testing.assert_allclose(box[0], [10 / 30, 4 / 20, 15 / 30, 5 / 20], rtol=1e-5)
    np.testing.assert_allclose(box[1], [3 / 30, 0, 1 / 30, 1], rtol=1e-5)
    assert known.tolist() == [1, 1, 0, 0]
    given = np.tile(np.float32([0.5, 0.5, 0.5, 0.5]), (4, 1))
    values = np.ones((4, 7), np.float32)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer(values, given, images, training=True)), values
    )
    error = np.square(given[:2] - box[:2]).sum(axis=1).mean() / 2
    assert float(sum(layer.losses)) == pytest.approx(2.0 * error, rel=1e-5)
    quiet = _layers.BoxLoss()
    quiet(values, given, images, training=False)
    assert not quiet.losses


@pytest.mark.parametrize("base", ["e", "10"])
def test_optical_density(base):
    images = some_images()
    log = np.log if base == "e" else np.log10
    found = worked(_layers.OpticalDensity(white=240.0, base=base), images)
    np.testing.assert_allclose(found, np.maximum(-log((images + 1) / 240), 0), atol=1e-5)
    assert found.min() == 0
    with pytest.raises(ValueError, match="'e' or '10'"):
        _layers.OpticalDensity(base="2")


@pytest.mark.parametrize("block", [None, 8])
def test_cosines_are_scipys(block):
    images = some_images()
    found = worked(_layers.CosineTransform(block, log=False), images / 255.0)
    expected = np.empty_like(images)
    high, wide = (16, 24) if block is None else (block, block)
    for top in range(0, 16, high):
        for left in range(0, 24, wide):
            window = (slice(None), slice(top, top + high), slice(left, left + wide))
            expected[window] = dctn(images[window] / 255.0, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    logged = worked(_layers.CosineTransform(block), images / 255.0)
    np.testing.assert_allclose(logged, np.log10(np.abs(found) + 1e-9), atol=1e-3)


def test_blocks_that_do_not_tile_are_refused():
    with pytest.raises(ValueError, match="do not tile"):
        _layers.CosineTransform(7)(some_images())


def test_bilinear_pooling_averages_outer_products():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    found = worked(_layers.BilinearPooling(), maps.astype(np.float32))
    for one, image in zip(found, maps, strict=True):
        products = np.mean([np.outer(x, x) for x in image.reshape(-1, 5)], axis=0).ravel()
        roots = np.sign(products) * np.sqrt(np.abs(products))
        np.testing.assert_allclose(one, roots / np.linalg.norm(roots), atol=1e-4)


def test_hue_saturation_value():
    from matplotlib.colors import rgb_to_hsv

    images = some_images()
    found = worked(_layers.HueSaturationValue(), images)
    np.testing.assert_allclose(found, rgb_to_hsv(images / 255.0) * 255.0, atol=1e-3)


def test_colours_are_those_that_an_embedding_is_shown():
    """Colours inside and outside the graph agree up to rounding and the range of densities."""
    from hemafeat.extract._prepared import OD_MAX, Prepared
    from hemafeat.networks._classifier.network import _MAX_DENSITY, _add_colours
    from hemafeat.networks._embedding.streams import StreamPictures, parse_streams

    image = some_images((1, 24, 24, 3))
    same = keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Identity()])
    hsv, density = (
        worked(_add_colours(keras, same, colour), image)[0] for colour in ("hsv", "od_fixed")
    )
    # The white level to which one is added there is the one that is divided by here.
    prepared = Prepared(image[0].astype(np.uint8), white=np.full(3, 254.0))
    shown_hsv, shown_density = StreamPictures(parse_streams(["hsv", "od"]), 24).make(prepared, None)
    apart = shown_hsv.astype(np.float32) - hsv
    # A turn of the hue is 256 steps there and 255 here.
    apart[..., 0] = (apart[..., 0] + 128) % 256 - 128
    assert np.abs(apart[..., 0]).max() <= 1.51
    # OpenCV divides in fixed point.
    assert np.abs(apart[..., 1:]).max() <= 0.6
    inside = shown_density < 255
    assert 0.5 < inside.mean() < 1
    stretched = density * _MAX_DENSITY / OD_MAX
    np.testing.assert_allclose(stretched[inside], shown_density[inside], atol=0.51)
    assert (stretched[~inside] > 254).all()


def test_the_box_round_a_cell_is_enlarged():
    from scipy.ndimage import map_coordinates

    images = np.zeros((3, 21, 31, 3), np.float32)
    images[0, 5:12, 8:20] = some_images((7, 12, 3)) / 2 + 100
    images[1] = some_images((21, 31, 3)) / 2 + 100
    found = worked(_layers.CellCrop(), images)
    rows, columns = np.linspace(5, 11, 21), np.linspace(8, 19, 31)
    places = np.meshgrid(rows, columns, indexing="ij")
    for channel in range(3):
        expected = map_coordinates(images[0, ..., channel], places, order=1)
        np.testing.assert_allclose(found[0, ..., channel], expected, atol=1e-2)
    np.testing.assert_allclose(found[1], images[1], atol=1e-3)
    np.testing.assert_allclose(found[2], 0, atol=1e-6)


def test_neighbouring_channels_damp_each_other():
    values = some_images((1, 3, 4, 9))
    found = worked(_layers.NeighbourNormalisation(), values)
    expected = np.empty_like(values)
    for channel in range(9):
        near = values[..., max(channel - 2, 0) : channel + 3]
        total = (near**2).sum(axis=-1)
        expected[..., channel] = values[..., channel] / (2 + 1e-4 * total) ** 0.75
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_scales():
    images = some_images()
    unit, signed, caffe, torch = (
        worked(_layers.ScaledImage(mode), images) for mode in ("unit", "signed", "caffe", "torch")
    )
    np.testing.assert_allclose(unit, images / 255, atol=1e-6)
    for mode, found in (("tf", signed), ("caffe", caffe), ("torch", torch)):
        expected = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode=mode)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(ValueError, match="no scale"):
        _layers.ScaledImage("bgr")
