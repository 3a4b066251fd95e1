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
