"""Normalised stain: against scikit-image, closed forms, and drawn cells of known stain."""

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
    """An image of two stains, blobs of pure ones and mixtures, on a white background."""
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
    found = GreyWorld()(image)
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(found.reshape(-1, 3).mean(axis=0)) < 0.5
    assert GreyWorld().fit([image]) == GreyWorld()


def test_reinhard_reaches_its_target():
    """Mean and spread of the result, as scikit-image's CIELAB has them."""
    target = Reinhard(mean=(60.0, 4.0, -3.0), spread=(6.0, 5.0, 4.0))
    lab = rgb2lab(target(noise())).reshape(-1, 3)
    # Levels are whole numbers: a quarter of a unit of CIELAB.
    assert lab.mean(axis=0) == pytest.approx(target.mean, abs=0.25)
    assert lab.std(axis=0) == pytest.approx(target.spread, abs=0.25)


def test_reinhard_by_scikit_image():
    one, other = noise(1), noise(2) // 2 + 40
    fitted = Reinhard().fit([other])
    lab = rgb2lab(other).reshape(-1, 3)
    # OpenCV takes the cube root and the gamma of CIELAB from tables: 0.12 apart.
    np.testing.assert_allclose(fitted.mean, lab.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(fitted.spread, lab.std(axis=0), atol=0.2)
    from skimage.color import lab2rgb

    given = rgb2lab(one)
    moved = (given - given.mean(axis=(0, 1))) / given.std(axis=(0, 1)) * lab.std(axis=0)
    expected = 255 * lab2rgb(moved + lab.mean(axis=0))
    assert np.abs(fitted(one) - expected).max() < 1.5
    # An image is its own target.
    assert np.abs(Reinhard().fit([one])(one).astype(int) - one).max() <= 1


def test_macenko_finds_the_stains():
    image, amount = smear()
    vectors, strength, white = Macenko().stains(image)
    # Percent ends of the angles, and rounding to grey levels: about a degree.
    for found, true in zip(vectors, (AZURE, EOSIN), strict=True):
        assert np.degrees(np.arccos(found @ true)) < 1.5
    assert strength == pytest.approx(np.percentile(amount.reshape(-1, 2), 99, axis=0), rel=0.05)
    assert white == pytest.approx(WHITE, abs=1)


def test_macenko_gives_the_stains_of_the_target():
    """The same tissue in other stains on another white becomes the target's picture of it."""
    other = (np.array([0.65, 0.70, 0.29]), np.array([0.27, 0.57, 0.78]))
    other = tuple(v / np.linalg.norm(v) for v in other)
    target, _ = smear()
    image, _ = smear(other, np.array([235.0, 245.0, 215.0]))
    fitted = Macenko().fit([target])
    found = fitted(image)
    before = np.abs(image.astype(int) - target).mean()
    after = np.abs(found.astype(int) - target).mean()
    assert before > 10
    assert after < 1.5
    assert np.abs(fitted(target).astype(int) - target).max() <= 3


def test_a_target_is_the_median_of_images():
    stained = [smear(seed=seed)[0] for seed in range(3)]
    fitted = Macenko().fit([*stained, np.full((50, 50, 3), 240, np.uint8)])
    single = [Macenko().fit([image]) for image in stained]
    expected = np.median([one.strength for one in single], axis=0)
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
    found = normaliser(name)(image)
    assert found.dtype == np.uint8
    assert (found[:40] == 0).all()
    assert found[60].any()
    with pytest.raises(ValueError, match=r"black|0 everywhere"):
        normaliser(name)(np.zeros((20, 20, 3), np.uint8))


def test_what_cannot_be_normalised():
    with pytest.raises(ValueError, match="only 0 stained pixels"):
        Macenko()(np.full((64, 64, 3), 240, np.uint8))
    with pytest.raises(ValueError, match="unknown normaliser 'vahadane'; available: grey-world"):
        normaliser("vahadane")


@pytest.mark.parametrize("name", ["grey-world", "reinhard"])
def test_drawn_stains_come_closer(name):
    """One cell drawn in the stains of many patients: its colours differ less afterwards.

    Not so by Macenko: drawn smears hold four absorbers, and the two it finds are now azure, now
    haemoglobin.
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


# In the table


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return datasets.drawn(tmp_path_factory.mktemp("drawn") / "d", 12, size=96, n_jobs=1)


def measured(listed, **more):
    return extract.table(listed, families=["shape", "colour"], n_jobs=1, progress=False, **more)


@pytest.mark.slow_without_jit
def test_table_measures_the_normalised_image(drawn):
    plain, moved = measured(drawn), measured(drawn, normalise="grey-world")
    shape = [name for name in plain if "__shape__" in name]
    colour = [name for name in plain if "__colour__" in name]
    # Cells are found in the image as it is.
    pd.testing.assert_frame_equal(plain[shape], moved[shape])
    assert (plain[colour].fillna(0) != moved[colour].fillna(0)).any().any()
    by_hand = [GreyWorld()(images.read(path)) for path in drawn["image"]]
    masks = [
        (given.cell, given.nucleus) for given in (extract_masks(path) for path in drawn["image"])
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
    found = extract.table(
        [blank], masks=[(cell, cell)], families=["shape"], normalise="macenko", progress=False
    )
    assert found.empty
    row = extract.errors(found).iloc[0]
    assert row["stage"] == "normalise"
    assert "stained pixels" in row["message"]


@pytest.mark.slow_without_jit
def test_another_normaliser_is_another_run(drawn, tmp_path):
    more = {"families": ["shape"], "n_jobs": 1, "progress": False}
    out = tmp_path / "run"
    extract.stream(drawn, out, normalise=Reinhard(), **more)
    assert extract.stream(drawn, out, normalise="reinhard", **more).n_kept == 1
    for other in (None, "macenko", Reinhard(mean=(70.0, 1.0, 1.0))):
        with pytest.raises(FileExistsError, match="normalise was Reinhard"):
            extract.stream(drawn, out, normalise=other, **more)
    with pytest.raises(FileExistsError, match=r"to_um_per_px was None, is 0\.2"):
        extract.stream(drawn, out, normalise="reinhard", to_um_per_px=0.2, **more)
    assert pickle.loads(pickle.dumps(Macenko())) == Macenko()


@pytest.mark.slow_without_jit
def test_resampled_to_one_scale(drawn):
    """Half the pixels per micrometre and brought back: the lengths of the same cell."""
    scale = float(drawn["um_per_px"].iloc[0])
    fine, coarse = measured(drawn), measured(drawn, to_um_per_px=1.5 * scale)
    assert set(coarse["um_per_px"]) == {1.5 * scale}
    area = "cell__shape__area"
    assert coarse[area].to_numpy() == pytest.approx(fine[area].to_numpy(), rel=0.06)
    assert not np.array_equal(coarse[area], fine[area])
    # At the scale there is, nothing happens.
    same = measured(drawn, to_um_per_px=scale)
    pd.testing.assert_frame_equal(same, fine)
    with pytest.raises(ValueError, match="to_um_per_px must be positive"):
        measured(drawn, to_um_per_px=0.0)
    with pytest.raises(ValueError, match="needs the scale"):
        measured(drawn.assign(um_per_px=np.nan), to_um_per_px=0.1)


@pytest.mark.slow_without_jit
def test_fitted_inside_the_fold(drawn):
    """The step of a pipeline takes its target from the images it is fitted to."""
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
