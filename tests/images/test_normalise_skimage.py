"""Compare stain normalisation with scikit-image, closed forms, and cells of known stain."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from skimage.color import rgb2lab

from hemafeat import datasets, extract, images
from hemafeat.images import GreyWorld, Macenko, Reinhard, normaliser

AZURE = np.array([0.53, 1.00, 0.16]) / np.linalg.norm([0.53, 1.00, 0.16])
EOSIN = np.array([0.20, 1.00, 0.75]) / np.linalg.norm([0.20, 1.00, 0.75])
WHITE = np.array([250.0, 240.0, 230.0])


def smear(vectors=(AZURE, EOSIN), white=WHITE, seed=0, strength=(1.0, 0.6)):
    """Return an image with regions of two stains and their mixtures on a white background."""
    rng = np.random.default_rng(seed)
    amount = np.zeros((120, 120, 2))
    amount[20:60, 10:110, 0] = rng.uniform(0.3, strength[0], (40, 100))
    amount[50:100, 10:110, 1] = rng.uniform(0.3, strength[1], (50, 100))
    density = amount @ np.asarray(vectors)
    return np.rint((white + 1) * np.exp(-density) - 1).clip(0, 255).astype(np.uint8), amount


def noise(seed=0):
    return np.random.default_rng(seed).integers(60, 190, (40, 50, 3)).astype(np.uint8)


def test_grey_world_by_its_definition():
    image = noise() // np.array([1, 2, 3], np.uint8)
    means = image.reshape(-1, 3).mean(axis=0)
    expected = np.clip(np.rint(image * (means.mean() / means)), 0, 255)
    result = GreyWorld()(image)
    np.testing.assert_array_equal(result, expected)
    assert np.ptp(result.reshape(-1, 3).mean(axis=0)) < 0.5
    assert GreyWorld().fit([image]) == GreyWorld()


def test_reinhard_reaches_its_target():
    """The result has the mean and spread of the target in the CIELAB of scikit-image."""
    target = Reinhard(mean=(60.0, 4.0, -3.0), spread=(6.0, 5.0, 4.0))
    lab = rgb2lab(target(noise())).reshape(-1, 3)
    # Rounding to integers changes CIELAB by up to a quarter of a unit.
    assert lab.mean(axis=0) == pytest.approx(target.mean, abs=0.25)
    assert lab.std(axis=0) == pytest.approx(target.spread, abs=0.25)


def test_reinhard_by_scikit_image():
    first, second = noise(1), noise(2) // 2 + 40
    fitted = Reinhard().fit([second])
    lab = rgb2lab(second).reshape(-1, 3)
    # OpenCV approximates cube root and gamma by tables, with differences up to 0.12.
    np.testing.assert_allclose(fitted.mean, lab.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(fitted.spread, lab.std(axis=0), atol=0.2)
    from skimage.color import lab2rgb

    source = rgb2lab(first)
    moved = (source - source.mean(axis=(0, 1))) / source.std(axis=(0, 1)) * lab.std(axis=0)
    expected = 255 * lab2rgb(moved + lab.mean(axis=0))
    assert np.abs(fitted(first) - expected).max() < 1.5
    # An image is its own target.
    assert np.abs(Reinhard().fit([first])(first).astype(int) - first).max() <= 1


def test_macenko_finds_the_stains():
    image, amount = smear()
    vectors, strength, white = Macenko().stains(image)
    # Percentiles of the angles and rounding to grey levels cause errors of about a degree.
    for result, true in zip(vectors, (AZURE, EOSIN), strict=True):
        assert np.degrees(np.arccos(result @ true)) < 1.5
    assert strength == pytest.approx(np.percentile(amount.reshape(-1, 2), 99, axis=0), rel=0.05)
    assert white == pytest.approx(WHITE, abs=1)


def test_macenko_gives_the_stains_of_the_target():
    """The same tissue in other stains and on another background becomes equal to the target."""
    second = (np.array([0.65, 0.70, 0.29]), np.array([0.27, 0.57, 0.78]))
    second = tuple(v / np.linalg.norm(v) for v in second)
    target, _ = smear()
    image, _ = smear(second, np.array([235.0, 245.0, 215.0]))
    fitted = Macenko().fit([target])
    result = fitted(image)
    before = np.abs(image.astype(int) - target).mean()
    after = np.abs(result.astype(int) - target).mean()
    assert before > 10
    assert after < 1.5
    assert np.abs(fitted(target).astype(int) - target).max() <= 3


def test_a_target_is_the_median_of_images():
    stained = [smear(seed=seed)[0] for seed in range(3)]
    fitted = Macenko().fit([*stained, np.full((50, 50, 3), 240, np.uint8)])
    single = [Macenko().fit([image]) for image in stained]
    expected = np.median([first.strength for first in single], axis=0)
    assert fitted.strength == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm(fitted.vectors[0]) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="at least one stained image"):
        Macenko().fit([])
    with pytest.raises(ValueError, match="at least one image"):
        Reinhard().fit([])


@pytest.mark.parametrize("name", images.NORMALISERS)
def test_black_stays_black(name):
    image, _ = smear()
    image[:40] = 0
    result = normaliser(name)(image)
    assert result.dtype == np.uint8
    assert (result[:40] == 0).all()
    assert result[60].any()
    with pytest.raises(ValueError, match=r"black|0 everywhere"):
        normaliser(name)(np.zeros((20, 20, 3), np.uint8))


def test_what_cannot_be_normalised():
    with pytest.raises(ValueError, match="only 0 stained pixels"):
        Macenko()(np.full((64, 64, 3), 240, np.uint8))
    with pytest.raises(ValueError, match="unknown normaliser 'vahadane'; available: grey-world"):
        normaliser("vahadane")


@pytest.mark.parametrize("name", ["grey-world", "reinhard"])
def test_drawn_stains_come_closer(name):
    """The colours of a cell drawn in the stains of many patients become more similar.

    Macenko's method does not achieve this: drawn smears have four absorbers, and the two stains it
    estimates may be azure or haemoglobin.
    """
    step = normaliser(name)
    spread = {"before": [], "after": []}
    for kind in ("neutrophil", "eosinophil", "lymphocyte"):
        cells = [
            datasets.draw_cell(
                kind, size=120, stain=datasets.Stain.draw(np.random.default_rng(s)), random_state=7
            )
            for s in range(8)
        ]
        for key, change in (("before", lambda image: image), ("after", step)):
            means = [rgb2lab(change(cell.image))[cell.nucleus > 0].mean(axis=0) for cell in cells]
            spread[key].append(np.std(means, axis=0))
    before, after = (np.linalg.norm(spread[key], axis=1).mean() for key in ("before", "after"))
    assert after < 0.85 * before


# In a table of features


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return datasets.drawn(tmp_path_factory.mktemp("drawn") / "d", 12, size=96, n_jobs=1)


def measured(listed, **kwargs):
    return extract.table(listed, families=["shape", "colour"], n_jobs=1, progress=False, **kwargs)


@pytest.mark.slow_without_jit
def test_table_measures_the_normalised_image(drawn):
    plain, moved = measured(drawn), measured(drawn, normalise="grey-world")
    shape = [name for name in plain if "__shape__" in name]
    colour = [name for name in plain if "__colour__" in name]
    # Cells are segmented in the original image.
    pd.testing.assert_frame_equal(plain[shape], moved[shape])
    assert (plain[colour].fillna(0) != moved[colour].fillna(0)).any().any()
    by_hand = [GreyWorld()(images.read(path)) for path in drawn["image"]]
    masks = [
        (source.cell, source.nucleus) for source in (extract_masks(path) for path in drawn["image"])
    ]
    again = measured(
        by_hand, masks=masks, um_per_px=float(drawn["um_per_px"].iloc[0]), cells="central"
    )
    np.testing.assert_allclose(again[colour], moved[colour])


def extract_masks(path):
    from hemafeat import segment

    return segment.contours(images.read(path))


def test_what_cannot_be_normalised_is_an_error_of_the_table():
    blank = np.full((64, 64, 3), 250, np.uint8)
    cell = np.zeros((64, 64), np.int32)
    cell[20:40, 20:40] = 1
    result = extract.table(
        [blank], masks=[(cell, cell)], families=["shape"], normalise="macenko", progress=False
    )
    assert result.empty
    row = extract.errors(result).iloc[0]
    assert row["stage"] == "normalise"
    assert "stained pixels" in row["message"]


@pytest.mark.slow_without_jit
def test_another_normaliser_is_another_run(drawn, tmp_path):
    kwargs = {"families": ["shape"], "n_jobs": 1, "progress": False}
    out = tmp_path / "run"
    extract.stream(drawn, out, normalise=Reinhard(), **kwargs)
    assert extract.stream(drawn, out, normalise="reinhard", **kwargs).n_kept == 1
    for second in (None, "macenko", Reinhard(mean=(70.0, 1.0, 1.0))):
        with pytest.raises(FileExistsError, match="normalise was Reinhard"):
            extract.stream(drawn, out, normalise=second, **kwargs)
    with pytest.raises(FileExistsError, match=r"to_um_per_px was None, is 0\.2"):
        extract.stream(drawn, out, normalise="reinhard", to_um_per_px=0.2, **kwargs)
    assert pickle.loads(pickle.dumps(Macenko())) == Macenko()


@pytest.mark.slow_without_jit
def test_resampled_to_one_scale(drawn):
    """Areas in um do not depend on the scale to which an image is resampled."""
    scale = float(drawn["um_per_px"].iloc[0])
    fine, coarse = measured(drawn), measured(drawn, to_um_per_px=1.5 * scale)
    assert set(coarse["um_per_px"]) == {1.5 * scale}
    area = "cell__shape__area"
    assert coarse[area].to_numpy() == pytest.approx(fine[area].to_numpy(), rel=0.06)
    assert not np.array_equal(coarse[area], fine[area])
    # Resampling to the original scale changes nothing.
    same = measured(drawn, to_um_per_px=scale)
    pd.testing.assert_frame_equal(same, fine)
    with pytest.raises(ValueError, match="to_um_per_px must be positive"):
        measured(drawn, to_um_per_px=0.0)
    with pytest.raises(ValueError, match="needs the scale"):
        measured(drawn.assign(um_per_px=np.nan), to_um_per_px=0.1)


@pytest.mark.slow_without_jit
def test_fitted_inside_the_fold(drawn):
    """A step of a pipeline fits the target to its training images."""
    step = extract.CellFeatures(families=["colour"], n_jobs=1, normalise="reinhard")
    train = list(drawn["image"][:5])
    fitted = step.fit([*train, "not there.png"])
    assert fitted.normalise_ == Reinhard().fit(train)
    assert fitted.normalise_ != Reinhard().fit(drawn["image"])
    values = fitted.transform(list(drawn["image"][5:7]))
    expected = extract.table(
        list(drawn["image"][5:7]),
        families=["colour"],
        cells="central",
        normalise=Reinhard().fit(train),
        progress=False,
    )
    np.testing.assert_allclose(values, expected[extract.feature_columns(expected)])
