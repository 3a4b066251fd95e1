"""Embeddings as a transformer, as columns and on the command line: streams, images, errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from hemafeat import extract, images, networks, pipelines
from hemafeat._machine import how_to_install
from hemafeat.networks import _backbones
from support import embedding_steps
from support.embedding_steps import QUICK, SIDE, close, embedding

pytestmark = pytest.mark.networks

cells = embedding_steps.cells
keras = embedding_steps.keras
no_network = embedding_steps.no_network


def test_without_keras_the_message_says_what_to_install():
    code = """
import sys
sys.modules["keras"] = None
from hemafeat import networks, pipelines
model = pipelines.make("embedding:MobileNet+svc@random")
try:
    model[0].fit()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert how_to_install("keras", "deep") in done.stdout


def test_an_unknown_backbone_names_all():
    with pytest.raises(ValueError, match=r"InceptionV3, VGG16, .*Xception"):
        networks.Embedding("AlexNeXt").fit()
    with pytest.raises(ValueError, match="MobileNet"):
        pipelines.make("embedding:AlexNeXt+svc")
    with pytest.raises(ValueError, match="no head"):
        pipelines.make("embedding:MobileNet+cnn")
    with pytest.raises(ValueError, match=r"BACKBONE\[/LAYER\]\+HEAD"):
        pipelines.make("embedding:MobileNet")


def test_an_image_that_cannot_be_read_is_named_or_a_row_of_nan(keras, cells, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    sources = [cells["image"].iloc[0], str(tmp_path / "bad.png")]
    with pytest.raises(images.ImageError, match=r"bad\.png"):
        embedding().transform(sources)
    with pytest.warns(UserWarning, match=r"1 of 2 rows .*bad\.png"):
        found = embedding(on_error="nan").transform(sources)
    assert np.isnan(found).all(axis=1).tolist() == [False, True]
    white = np.full((64, 64, 3), 255, np.uint8)
    with pytest.raises(images.ImageError, match=r"array\[0\].*no cell was found"):
        embedding(streams="rgb_cell").transform([white])


def test_a_saved_model_predicts_the_same_and_refuses_other_weights(keras, cells, tmp_path):
    model = pipelines.embedding(
        backbone="MobileNet", head="svc", weights=None, size=SIDE, settings={"cache": False}
    )
    with pytest.warns(UserWarning, match="not pretrained"):
        model.fit(cells, cells["label"])
    expected = model.predict(cells)
    pipelines.save(model, tmp_path / "one.hemafeat")
    loaded = pipelines.load(tmp_path / "one.hemafeat")
    assert loaded.columns == ["image"]
    assert loaded.pipeline[0].weights_ == "random weights (seed 0), not pretrained"
    assert (loaded.predict(cells) == expected).all()
    loaded.pipeline.set_params(embedding__random_state=1)
    with pytest.raises(networks.WeightsError, match="fitted with weights b4b31bb1360ce0ae"):
        loaded.predict(cells)
    assert (tmp_path / "one.hemafeat").stat().st_size < 10**6  # the network is not in it


@pytest.mark.parametrize("head", ["xgboost", "logistic", "random_forest", "knn", "ldsvm"])
def test_every_head_fits_and_says_how_sure_it_is(keras, cells, head):
    given = {"n_neighbors": 3} if head == "knn" else {}
    model = pipelines.embedding(
        backbone="MobileNet", head=head, weights=None, size=SIDE, settings={"cache": False}, **given
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(cells, cells["label"])
    chances = model.predict_proba(cells)
    assert chances.shape == (len(cells), 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-6)


STREAMS = ["rgb", "rgb_cell", "hsv_centre", "od", "masked_cell"]


def test_a_family_gives_the_numbers_of_the_step(keras, cells):
    step = embedding(streams=STREAMS)
    family = networks.embedding_family("MobileNet", None, streams=STREAMS, **QUICK)
    table = extract.table(cells, families=["shape", family], n_jobs=2, progress=False)
    names = list(step.get_feature_names_out())
    assert names == extract.columns([family])
    assert extract.feature_columns(table)[-len(names) :] == names
    assert names[1024] == f"cell__embedding_mobilenet_random0_{SIDE}px__0000__rgb_cell"
    close(table[names].to_numpy(), step.transform(cells))
    joined = step.join(extract.table(cells, families=["shape"], n_jobs=1, progress=False))
    close(joined[names].to_numpy(), step.transform(cells))
    assert set(extract.units(joined)) == set(extract.units(table))
    said = pipelines.embeddings_of(table.columns)
    words = "MobileNet, random weights (seed 0), not pretrained"
    assert said == {f"{words}: cell__embedding_mobilenet_random0_{SIDE}px__*": len(names)}
    formula = extract.describe([family])["formula"]
    assert formula.str.contains("not pretrained").all()


def test_each_cell_of_an_image_has_an_embedding_of_its_own(keras, cells):
    one, other = (images.read(path) for path in cells["image"][:2])
    field = np.concatenate([one, other], axis=1)
    table = extract.table(
        [field], families=[networks.embedding_family("MobileNet", None, **QUICK)],
        cells="all", n_jobs=1, progress=False,
    )  # fmt: skip
    names = extract.feature_columns(table)
    assert len(table) >= 2
    assert table[names].drop_duplicates().shape[0] == len(table)
    head = table[["image", "cell"]].assign(image=[field] * len(table))
    close(embedding(streams="rgb_cell").transform(head), table[names].to_numpy())


def test_streams_show_what_they_say(cells):
    """Compare with pictures made step by step."""
    import cv2

    from hemafeat.extract._measure import central_cell
    from hemafeat.extract._prepared import Prepared
    from hemafeat.networks._embedding.streams import StreamPictures, parse_streams
    from hemafeat.segment import contours

    image = images.read(cells["image"].iloc[0])
    masks = contours(image)
    number = central_cell(masks) + 1
    window = Prepared(image, masks).window(masks, number - 1)
    rows, columns = np.nonzero(masks.cell == number)
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    shown = StreamPictures(
        parse_streams(["masked", "blackened", "rgb_cell", "hsv", "od", "rgb_centre"]), 96, 40, 0.25
    )
    masked, blackened, cell, hsv, density, centre = shown.make(*window)
    by_hand = image.copy()
    by_hand[masks.cell != number] = 255
    assert np.array_equal(masked, by_hand)
    by_hand[masks.cell != number] = 0
    assert np.array_equal(blackened, by_hand)
    assert np.array_equal(hsv, cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
    dark = np.unravel_index(image[..., 1].argmin(), image.shape[:2])
    white = Prepared(image, masks).white()
    expected = np.log10((white + 1) / (image[dark].astype(float) + 1)) / 1.5 * 255
    np.testing.assert_allclose(density[dark], np.clip(expected, 0, 255), atol=0.51)
    side = size + 2 * round(0.25 * size)
    middle = [(int(v.min()) + int(v.max()) + 1 - side) // 2 for v in (rows, columns)]
    padded = np.pad(image, ((200, 200), (200, 200), (0, 0)), mode="edge")
    top, left = middle[0] + 200, middle[1] + 200
    square = padded[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > 96 else cv2.INTER_LINEAR
    assert np.array_equal(cell, cv2.resize(square, (96, 96), interpolation=how))
    part = image[28:68, 28:68]
    assert np.array_equal(centre, cv2.resize(part, (96, 96), interpolation=cv2.INTER_LINEAR))
    with pytest.raises(ValueError, match="no stream 'grey'"):
        parse_streams("grey")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embedding_inceptionv3_imagenet", ("InceptionV3", None, "imagenet", None)),
        ("embedding_vgg16_fc1_random0", ("VGG16", "fc1", "random0", None)),
        ("embedding_mobilenet_conv_pw_6_relu_file1a2b3c4d_96px",
         ("MobileNet", "conv_pw_6_relu", "file1a2b3c4d", 96)),
    ],
)  # fmt: skip
def test_the_name_of_an_embedding_says_its_weights(name, words):
    from hemafeat.networks import EmbeddingName

    parsed = EmbeddingName.parse(name)
    assert parsed == EmbeddingName(*words)
    assert parsed.description.startswith(words[0])
    assert EmbeddingName.parse("shape") is None
    assert EmbeddingName.parse("embedding_alexnext_imagenet") is None


def test_it_declares_that_it_looks_at_images():
    assert networks.Embedding.looks_at == {"images"}
    assert networks.Embedding().reads_images


def test_on_the_command_line(keras, cells, tmp_path, capsys, monkeypatch):
    """Compare columns and a model; the report names the weights; predict works."""
    from hemafeat.cli import main

    folder = Path(cells["image"].iloc[0]).parents[1]
    listed = cells[["image", "label", "patient", "group"]]
    listed.to_csv(tmp_path / "cells.csv", index=False)
    assert folder.is_dir()
    features, page = str(tmp_path / "features"), str(tmp_path / "out")
    asked = ["--embedding", "MobileNet", "--weights", "random", "--jobs", "1", "-q"]
    assert main(["extract", str(tmp_path / "cells.csv"), "--out", features, "--families", "shape",
                 *asked]) == 0  # fmt: skip
    assert main(["compare", features, "--models", "logistic", "embedding:MobileNet+logistic",
                 "--weights", "random", "--folds", "2", "--n-boot", "20", "--no-importance",
                 "--out", page, "--save-model", str(tmp_path / "m.hemafeat"),
                 "--jobs", "1", "-q"]) == 0  # fmt: skip
    text = (tmp_path / "out" / "page.html").read_text("utf-8")
    assert "1024 columns of MobileNet, random weights (seed 0), not pretrained" in text
    assert "embedding:MobileNet+logistic@random: MobileNet, random weights, not pretrained" in text
    assert main(["predict", str(tmp_path / "m.hemafeat"), str(tmp_path / "cells.csv"), "--out",
                 str(tmp_path / "p.csv"), "--jobs", "1", "-q"]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["extract", str(tmp_path / "cells.csv"), "--out", str(tmp_path / "x.csv"),
                 "--embedding", "MobileNet", "--weights", "absent.h5"]) == 2  # fmt: skip
    assert "the file absent.h5 does not exist" in capsys.readouterr().err


def test_a_model_on_embedded_columns_asks_for_its_weights(keras, cells, tmp_path, capsys):
    """Refer to a file of weights by its digest; predict accepts no other."""
    from hemafeat.cli import main

    kind = _backbones.BACKBONES["MobileNet"]
    model = _backbones.build_backbone(kind, keras.Input((224, 224, 3)), top=False)
    _backbones.randomise(model, 5)
    model.save_weights(tmp_path / "five.weights.h5")
    _backbones.randomise(model, 6)
    model.save_weights(tmp_path / "six.weights.h5")
    cells[["image", "label"]].head(6).to_csv(tmp_path / "few.csv", index=False)
    family = networks.embedding_family("MobileNet", tmp_path / "five.weights.h5", cache=False)
    table = extract.table(cells, families=[family], n_jobs=1, progress=False)
    fitted = pipelines.logistic().fit(table, table["label"])
    pipelines.save(fitted, tmp_path / "m.hemafeat")
    predict = ["predict", str(tmp_path / "m.hemafeat"), str(tmp_path / "few.csv"), "--out",
               str(tmp_path / "p.csv"), "--jobs", "1", "-q"]  # fmt: skip
    assert main(predict) == 1
    assert "pass its weights by --weights FILE" in capsys.readouterr().err
    assert main([*predict, "--weights", str(tmp_path / "six.weights.h5")]) == 1
    assert "but these weights give" in capsys.readouterr().err
    assert main([*predict, "--weights", str(tmp_path / "five.weights.h5")]) == 0
