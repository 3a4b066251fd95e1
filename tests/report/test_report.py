from __future__ import annotations

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import extract, report
from hemafeat.evaluate import Comparison

NINE = [
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature_granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil_band",
    "neutrophil_segmented",
    "platelet",
]
EIGHT = [
    "logistic",
    "random_forest",
    "svc",
    "xgboost",
    "ldsvm",
    "ldsvm_smote",
    "ldsvm_smote_pca",
    "baseline",
]
COLUMNS = [
    "nucleus__shape__area",
    "cell__shape__solidity",
    "cytoplasm__colour__mean__hsv_s",
    "nucleus__glcm__joint_entropy__od_g",
    "cell__lbp__u2_07",
    "cytoplasm__density__mean__g",
]


def fake(images, classes=NINE, models=EIGHT, n_cells=120, seed=0, leaky=False):
    """What `evaluate.compare` would return, with scores computed from drawn predictions."""
    from sklearn import metrics as sk

    rng = np.random.default_rng(seed)
    truth = np.array(classes, object)[rng.integers(0, len(classes), n_cells)]
    truth[: len(classes)] = classes
    predictions, results = [], []
    for place, model in enumerate(models):
        skill = 0.3 + 3.0 * (len(models) - place) / len(models)
        logits = rng.normal(size=(n_cells, len(classes)))
        logits[np.arange(n_cells), [classes.index(t) for t in truth]] += skill
        if model == "baseline":
            logits = np.tile(np.arange(len(classes), dtype=float), (n_cells, 1))
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        called = np.array(classes, object)[chances.argmax(1)]
        frame = pd.DataFrame(
            {
                "model": model,
                "row": np.arange(n_cells),
                "image": [images[i % len(images)] for i in range(n_cells)],
                "cell": 1,
                "group": [f"p{i % 11}" for i in range(n_cells)],
                "fold": np.arange(n_cells) % 5,
                "truth": truth,
                "predicted": called,
            }
        )
        predictions.append(
            pd.concat([frame, pd.DataFrame(chances, columns=[f"p__{c}" for c in classes])], axis=1)
        )
        scores = {
            "accuracy": sk.accuracy_score(truth, called),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
            "macro_f1": sk.f1_score(truth, called, average="macro", zero_division=0),
            "log_loss": sk.log_loss(truth.astype(str), chances, labels=sorted(classes)),
        }
        for metric, value in scores.items():
            results.append((model, "all", metric, value, value - 0.04, value + 0.03))
            for fold in range(5):
                shift = 0.02 * (fold - 2)
                results.append((model, str(fold), metric, value + shift, np.nan, np.nan))
    results = pd.DataFrame(results, columns=["model", "fold", "metric", "value", "low", "high"])
    results = results.assign(protocol="grouped", seed=0, fingerprint="3f2a" * 16, version="0.1.0")
    pooled = results[(results["fold"] == "all") & (results["metric"] == "balanced_accuracy")]
    value = pooled.set_index("model")["value"]
    pairs = [(a, b, value[a] - value[b]) for i, a in enumerate(models) for b in models[i + 1 :]]
    differences = pd.DataFrame(
        [(a, b, "balanced_accuracy", gap, gap - 0.05, gap + 0.05) for a, b, gap in pairs],
        columns=["model_a", "model_b", "metric", "difference", "low", "high"],
    )
    importances = pd.DataFrame(
        [
            (m, kind, c if kind == "column" else None, *c.split("__")[:2], 0.05 / (k + 1), 0.004)
            for m in models[:2]
            for kind in ("block", "column")
            for k, c in enumerate(COLUMNS)
        ],
        columns=["model", "kind", "column", "mask", "family", "importance", "sd"],
    )
    return Comparison(
        results=results,
        predictions=pd.concat(predictions, ignore_index=True),
        differences=differences,
        importances=importances,
        seconds=pd.DataFrame({"model": models, "fit": 1.234, "predict": 0.0123}),
        classes=list(classes),
        leaky=leaky,
        protocol="5 folds, split by patient: no patient on both sides.",
        errors=pd.DataFrame(columns=["image", "stage", "error", "message"]),
        fingerprint="3f2a" * 16,
        versions={"scikit-learn": "1.9.1"},
        n_boot=40,
    )


class Page(HTMLParser):
    """Collects what the tests ask about; raises on tags that do not match."""

    VOID = frozenset(("meta", "img", "br", "hr", "link", "input", "wbr"))

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attrs, self.data, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.data.append(data)

    @property
    def text(self):
        return " ".join("".join(self.data).split())


def disc(image):
    """A segmenter: one cell in the middle, with a nucleus."""
    from hemafeat.segment import Masks

    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2, columns - width / 2)
    return Masks(away < height / 3, away < height / 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(6):
        image = np.full((60, 64, 3), 225, np.uint8)
        cv2.circle(image, (32, 30), 18, (170, 120, 190), -1)
        cv2.circle(image, (32, 30), 9, (110, 40, 90), -1)
        noise = rng.integers(-9, 9, image.shape)
        cv2.imwrite(str(place / f"cell_{number}.png"), np.clip(image + noise, 0, 255))
    return place


@pytest.fixture(scope="module")
def paths(folder):
    return [path.as_posix() for path in sorted(folder.glob("*.png"))]


@pytest.fixture(scope="module")
def table(paths):
    frame = pd.DataFrame({"image": paths, "cell": 1, "label": ["lymphocyte", "monocyte"] * 3})
    frame["quality__suspected_failure"] = [False] * 5 + [True]
    frame["quality__confidence"] = 0.5
    frame["quality__failure_reason"] = [""] * 5 + ["the nucleus fills the cell"]
    frame["nucleus__shape__area"] = 254.0
    frame.attrs["errors"] = [
        {"image": "bad.jpg", "stage": "read", "error": "ImageError", "message": "file ends early"}
    ]
    return frame


@pytest.fixture(scope="module")
def comparison(paths):
    return fake(paths, NINE[:3], ["xgboost", "svc", "baseline"], n_cells=60)


@pytest.fixture(scope="module")
def html(comparison, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert report.page(comparison, out, table=table, segmenter=disc, title="A & B") == out
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]
    return out.read_text(encoding="utf-8")


def test_the_page_says_what_important_columns_mean(html):
    described = extract.describe("all").set_index("column").loc["cytoplasm__density__mean__g"]
    assert described["meaning"] in html
    assert described["formula"] in html


def test_the_page_is_well_formed_and_asks_the_network_for_nothing(html):
    page = Page(html)
    assert page.tags.count("section") == 11
    assert len(page.ids) == len(set(page.ids))
    linked = {v for _, name, v in page.attrs if name in ("href", "src", "xlink:href", "data")}
    assert all(value.startswith(("#", "data:image/")) for value in linked), linked
    assert {value[1:] for value in linked if value[0] == "#"} <= set(page.ids)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "@import" not in html
    assert all(found.startswith("#") for found in re.findall(r"url\(['\"]?([^)]*)", html))
    # Base64 may hold two slashes anywhere; everywhere else they would begin an address.
    assert "//" not in re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", html)
    assert len(html) < 2e6


def test_the_page_shows_every_part_in_order(html, comparison):
    page = Page(html)
    order = ["results", "differences", "confusion", "classes", "curves", "calibration"]
    order += ["features", "mistakes", "segmentations", "errors", "provenance"]
    assert [name for name in page.ids if name in order] == order
    assert comparison.protocol in page.text
    assert page.text.startswith("A & B")
    for said in ("majority class", "the nucleus fills the cell", "file ends early", "3f2a3f2a"):
        assert said in page.text
    for _, name, value in page.attrs:
        assert name != "alt" or value
    assert html.count("<svg") == 10 + len(comparison.models)
    assert "Leaky" not in html


def test_the_table_marks_the_best_and_never_a_baseline(comparison):
    from hemafeat.report import _tables

    found = _tables.results(comparison, comparison.ranked(baselines=True))
    by_name = {row[0].text: row for row in found.rows}
    assert list(by_name) == ["xgboost", "svc", "baseline"]
    assert [entry.kind for entry in by_name["xgboost"][1:5]] == ["best"] * 4
    assert not any(entry.kind for entry in by_name["baseline"])
    row = comparison.results.query("model == 'xgboost' and fold == 'all'").iloc[1]
    assert row["metric"] == "balanced_accuracy"
    assert by_name["xgboost"][1].text == f"{row['value']:.3f}"
    assert by_name["xgboost"][1].below == f"{row['low']:.3f} to {row['high']:.3f}"


def test_a_leaky_split_is_unmissable(paths, tmp_path):
    leaky = fake(paths, NINE[:2], ["svc", "baseline"], n_cells=30, leaky=True)
    text = Page(report.page(leaky, tmp_path / "p.html", segmenter=disc).read_text("utf-8")).text
    assert "Leaky split: these scores are too good to be true." in text
    assert "Results (leaky split)" in text


def test_same_input_same_bytes(comparison, table, html, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.fonttype": "path"}):
        again = report.page(comparison, tmp_path, table=table, segmenter=disc, title="A & B")
    assert again == tmp_path / "page.html"
    assert again.read_text(encoding="utf-8") == html


def test_names_are_text_and_nothing_else(folder, tmp_path):
    nasty = ["<script>alert(1)</script>", 'lympho"cyte & co', "Ретикулоцит 網", "$x_1$ {{ 7*7 }}"]
    name = folder / "<img src=x onerror=alert(1)> ü.png"
    cv2.imwrite(str(folder / "plain.png"), np.full((40, 40, 3), 200, np.uint8))
    (folder / "plain.png").rename(name)
    table = pd.DataFrame({"image": [name.as_posix()] * 4, "cell": 1, "label": nasty})
    comparison = fake([name.as_posix()], nasty, ["<b>model</b>", "baseline"], n_cells=40)
    out = report.page(comparison, tmp_path, table=table, segmenter=disc, title="</title><script>")
    html = out.read_text(encoding="utf-8")
    page = Page(html)
    assert not {"script", "b>model"} & set(page.tags)
    assert "49" not in {word for word in page.text.split() if "7*7" in word}
    assert not [
        value for tag, n, value in page.attrs if tag == "img" and n == "src" and value == "x"
    ]
    assert not [n for _, n, _ in page.attrs if n.startswith("on")]
    for label in nasty:
        assert label in page.text


def test_images_that_cannot_be_read_do_not_break_the_page(paths, table, folder, tmp_path):
    gone = table.copy()
    gone.loc[0, "image"] = str(folder / "gone.png")
    (folder / "text.png").write_text("no image")
    gone.loc[1, "image"] = str(folder / "text.png")
    gone["cell"] = 99

    def fails(image):
        raise RuntimeError("out of\ncheese")

    small = fake([*paths[:2], str(folder / "gone.png")], NINE[:2], ["svc", "baseline"], 30)
    out = report.page(small, tmp_path, table=gone, segmenter=fails)
    text = Page(out.read_text("utf-8")).text
    assert text.count("no picture:") >= 2
    assert "no outlines: out of" in text


def test_given_masks_are_drawn_and_arrays_shown(comparison, paths, tmp_path):
    from hemafeat import images
    from hemafeat.report._galleries import Pictures, picture

    array = images.read(paths[0])
    masks = disc(array)
    shown = Pictures(["array[0]"], [array], "contours", [masks])
    image, found, why = shown.load("array[0]")
    assert np.array_equal(image, array)
    assert found.n_cells == 1
    assert why == ""
    plain, drawn = picture(array, None), picture(array, masks, 1, whole=True)
    changed = (plain != drawn).any(axis=2)
    assert 0.005 < changed.mean() < 0.15
    # The outline of the nucleus goes round the middle: the centre itself stays as it was.
    assert not changed[110:114, 110:114].any()


def test_each_image_is_segmented_once(comparison, table, tmp_path):
    segmented = []

    def counting(image):
        segmented.append(image.tobytes())
        return disc(image)

    report.page(comparison, tmp_path, table=table, segmenter=counting)
    assert len(segmented) == len(set(segmented)) == table["image"].nunique()
    masks = [disc(np.zeros((60, 64, 3), np.uint8))] * len(table)
    report.page(comparison, tmp_path, table=table, images=table, segmenter=counting, masks=masks)
    assert len(segmented) == table["image"].nunique()


def test_what_looks_at_no_cell_is_never_the_best(paths):
    """Also if it has the highest score."""
    from hemafeat.report._ranking import ranking

    crowned = fake(paths, NINE[:2], ["attributes", "svc", "baseline"], n_cells=60)
    assert crowned.baselines == ("attributes", "baseline")
    assert crowned.ranked(baselines=True)[0] == "attributes"
    assert ranking(crowned) == ["svc", "attributes", "baseline"]
    figure = report.figure_scores(crowned, models=["baseline", "svc"])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["baseline", "svc"]


def test_a_comparison_without_probabilities_or_importances(paths, tmp_path):
    bare = fake(paths, NINE[:2], ["svc", "baseline"], n_cells=30)
    bare.predictions[[f"p__{name}" for name in NINE[:2]]] = np.nan
    bare.importances = bare.importances.iloc[:0]
    bare.differences = bare.differences.iloc[:0]
    page = Page(report.page(bare, tmp_path, segmenter=disc).read_text("utf-8"))
    assert not {"curves", "calibration", "differences"} & set(page.ids)
    assert "Not computed, or no column changes a score" in page.text
    with pytest.raises(ValueError, match="no importances"):
        report.figure_importance(bare)


def test_a_map_is_drawn_if_asked_for(comparison, table, html, tmp_path):
    assert 'id="map"' not in html
    varied = table.assign(nucleus__shape__area=[254.0, 260, 300, 290, 270, 280])
    path = report.page(comparison, tmp_path, table=varied, map="pca")
    text = path.read_text("utf-8")
    assert text.index('id="features"') < text.index('id="map"') < text.index('id="mistakes"')
    assert "Principal components of" in text
    with pytest.raises(ValueError, match="give the table"):
        report.page(comparison, tmp_path, map="pca")
    with pytest.raises(ValueError, match="there are: tsne, pca, umap"):
        report.page(comparison, tmp_path, table=table, map="som")


def test_no_results_is_an_error_and_leaves_nothing(comparison, tmp_path):
    from dataclasses import replace

    empty = replace(comparison, results=comparison.results.iloc[:0])
    with pytest.raises(ValueError, match="no results"):
        report.page(empty, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def large():
    return fake(["none.png"], n_cells=300)


def described(n_cells=90):
    """A table of cells in which nuclei of class 1 are larger, and of class 2 missing."""
    rng = np.random.default_rng(0)
    kinds = np.arange(n_cells) % 3
    names = [
        *("cell__shape__area", "cell__relation__nucleus_to_cell_area_ratio"),
        *("nucleus__lobes__n_lobes", "nucleus__shape__solidity", "cytoplasm__density__mean__r"),
        *("cytoplasm__granules__dark_spot_reddish_share", "cell__colour__ratio_r_b"),
        "cytoplasm__intensity__coefficient_of_variation__od_r",
    ]
    table = pd.DataFrame(rng.normal(size=(n_cells, len(names))), columns=names)
    table["nucleus__shape__solidity"] = np.where(kinds == 2, np.nan, 10.0 * kinds)
    table["label"] = np.array(NINE, object)[kinds]
    table.loc[0, "label"] = None
    return table.assign(um_per_px=0.1)


def test_distributions_are_those_of_the_classes():
    table = described()
    columns = [name for name in table if "__" in name]
    figure = report.figure_distributions(table, columns)
    area, ratio, lobes, solidity = figure.axes[:4]
    assert area.get_title("left") == "area of the cell"
    assert ratio.get_title("left") == "nucleus to cell area ratio"
    assert lobes.get_title("left") == "number of lobes of the nucleus"
    assert (area.get_xlabel(), ratio.get_xlabel()) == ("um^2", "")
    assert [t.get_text() for t in area.get_yticklabels()] == sorted(NINE[:3])
    # The cell without a class is left out, and a class without a value has no box.
    medians = [line.get_xdata()[0] for line in solidity.lines if line.get_linewidth() == 1.6]
    by_name = table.groupby("label")["nucleus__shape__solidity"].median()
    np.testing.assert_array_equal(medians, by_name[sorted(NINE[:3])])
    other = report.figure_distributions(table.assign(age=3), ["age"], label=["x"] * 90)
    assert other.axes[0].get_title("left") == "age"
    assert [t.get_text() for t in other.axes[0].get_yticklabels()] == ["x"]
    with pytest.raises(ValueError, match="no column 'cell__shape__x'"):
        report.figure_distributions(table, ["cell__shape__x"])
    with pytest.raises(ValueError, match="no cell has a class"):
        report.figure_distributions(table, columns, label=[None] * 90)


def test_the_page_shows_what_is_read_by_eye_and_what_matters_once(paths):
    from hemafeat.report._figures import shown_columns

    table = described()
    table["nucleus__shape__area"] = np.arange(90.0)
    table["nucleus__shape__area_convex"] = table["nucleus__shape__area"] ** 3
    comparison = fake(paths, n_cells=30)
    found = comparison.importances
    single = ["nucleus__shape__area_convex", "nucleus__shape__area", "cell__colour__ratio_r_b"]
    rows = [
        ("svc", "column", c, *c.split("__")[:2], 0.3 - 0.1 * k, 0.01) for k, c in enumerate(single)
    ]
    comparison.importances = pd.DataFrame(rows, columns=found.columns)
    assert shown_columns(comparison, "svc", table) == [
        *("cell__shape__area", "cell__relation__nucleus_to_cell_area_ratio"),
        *("nucleus__lobes__n_lobes", "nucleus__shape__solidity"),
        # The area orders the cells as the convex area does.
        *("nucleus__shape__area_convex", "cell__colour__ratio_r_b"),
    ]


@pytest.mark.parametrize(
    ("losses", "spreads", "said"),
    [
        ([0.1, 0.05, 0.01], [0.01, 0.01, 0.01], ""),
        ([0.01, 0.01, 0.01], [0.02, 0.02, 0.02], "No single column stands out"),
        ([0.1, 0.095, 0.01], [0.01, 0.01, 0.01], "The first 2 single columns cannot be told apart"),
        (
            [0.1, 0.1, 0.095, 0.01],
            [0.01] * 4,
            "The first 3 single columns (the first 2 have the same loss) cannot be told apart",
        ),
        ([0.1, 0.1], [0.01, 0.01], "The first 2 single columns (the first 2 have the same loss)"),
        ([0.1], [0.01], ""),
    ],
)
def test_ties_are_said_as_ties(paths, losses, spreads, said):
    from hemafeat.report._figures import ties

    comparison = fake(paths, n_cells=30)
    comparison.importances = pd.DataFrame(
        {
            "model": "svc",
            "kind": "column",
            "column": [f"cell__shape__x{k}" for k in range(len(losses))],
            "mask": "cell",
            "family": "shape",
            "importance": losses,
            "sd": spreads,
        }
    )
    assert ties(comparison, "svc").startswith(said)
    assert bool(ties(comparison, "svc")) == bool(said)


def test_what_makes_scores_doubtful_stands_first(comparison, table, html, tmp_path):
    """Before the results; only if there is something."""
    text = Page(html).text
    warned = "The outlines of 1 of 6 cells (17 %) are suspected to be wrong"
    assert 0 < text.index("Before you trust these scores") < text.index(warned)
    assert text.index(warned) < text.index("Ranked by balanced accuracy")
    assert "16.7 %outlines suspected" in text
    few = table.assign(quality__suspected_failure=False)
    text = Page(
        report.page(comparison, tmp_path, table=few, segmenter=disc).read_text("utf-8")
    ).text
    assert "Before you trust" not in text
    assert "0.0 %outlines suspected" in text

    severe = pd.DataFrame(
        [("severe", "size", "the size tells", 6, "cut them")],
        columns=["severity", "kind", "message", "n_images", "advice"],
    )
    audit = SimpleNamespace(findings=severe)
    page = report.page(comparison, tmp_path, table=few, segmenter=disc, audit=audit)
    text = Page(page.read_text("utf-8")).text
    assert text.index("The size tells. See below.") < text.index("Ranked by balanced accuracy")
    assert "What to do: cut them." in text


FIGURES = {
    "distributions": lambda c: report.figure_distributions(
        described(), [name for name in described() if "__" in name]
    ),
    "scores": lambda c: report.figure_scores(c),
    "differences": lambda c: report.figure_differences(c),
    "confusion": lambda c: report.figure_confusion(c),
    "roc": lambda c: report.figure_roc(c),
    "roc of classes": lambda c: report.figure_roc(c, "svc"),
    "precision and recall": lambda c: report.figure_precision_recall(c),
    "precision and recall of classes": lambda c: report.figure_precision_recall(c, "svc"),
    "calibration": lambda c: report.figure_calibration(c),
    "importance": lambda c: report.figure_importance(c),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_of_a_figure_is_cut_or_covered(large, name):
    """Nine classes and eight models: each label lies inside the figure, and on no other label."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    figure = FIGURES[name](large)
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    page = figure.bbox.padded(1.5)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            # A tick outside the view is kept, but never drawn.
            tick.set_visible(low - 1e-9 <= tick.get_loc() <= high + 1e-9)
            tick.label1.set_visible(tick.get_visible() and tick.label1.get_visible())
            tick.label2.set_visible(tick.get_visible() and tick.label2.get_visible())
    boxes = []
    for text in figure.findobj(lambda a: isinstance(a, Text) and a.get_visible()):
        hidden = text.axes is not None and not text.axes.get_visible()
        if not text.get_text().strip() or hidden:
            continue
        box = text.get_window_extent(renderer)
        assert page.contains(box.x0, box.y0), text.get_text()
        assert page.contains(box.x1, box.y1), text.get_text()
        if text.get_rotation() == 0:
            boxes.append((text.get_text(), box.padded(-1)))
    assert len(boxes) > 5
    for place, (text, box) in enumerate(boxes):
        for other, second in boxes[place + 1 :]:
            assert not box.overlaps(second), (text, other)


def test_curves_agree_with_scikit_learn(large):
    from sklearn.metrics import average_precision_score, roc_auc_score

    from hemafeat.report import _curves

    rows = large.predictions.query("model == 'svc'")
    for name in NINE:
        positive = (rows["truth"] == name).to_numpy()
        score = rows[f"p__{name}"].to_numpy().round(2)  # ties included
        area = _curves.curve(positive, score, "roc")[2]
        assert area == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
        area = _curves.curve(positive, score, "pr")[2]
        assert area == pytest.approx(average_precision_score(positive, score), abs=1e-12)
    assert _curves.curve(np.ones(5, bool), np.arange(5.0), "roc") is None


@pytest.mark.parametrize("scores", [[3, 2, 1, 0], [0, 1, 2, 3], [1, 3, 0, 2], [0, 2, 2, 1]])
def test_the_mean_curve_has_the_steps_of_few_rows(scores):
    from hemafeat.report import _curves

    x, y, area = _curves.curve(np.array([True, True, False, False]), np.array(scores), "roc")
    drawn = _curves._on_grid(x, y, "roc")
    grid = np.linspace(0, 1, _curves.GRID_POINTS)
    assert np.trapezoid(drawn, grid) == pytest.approx(area, abs=2 / _curves.GRID_POINTS)


def test_a_difference_of_zero_has_no_sign():
    from hemafeat.report._style import signed

    assert signed(-1e-17, -0.0, 0.0004) == "0.000  [0.000, 0.000]"
    assert signed(-0.0004, -0.25, 0.5) == "0.000  [\N{MINUS SIGN}0.250, +0.500]"


def test_the_calibration_error_is_that_of_evaluate(large):
    from hemafeat.evaluate._scores import calibration_error
    from hemafeat.report import _curves

    rows = large.predictions.query("model == 'ldsvm'")
    chances = rows[[f"p__{name}" for name in NINE]].to_numpy()
    truth = rows["truth"].map({name: k for k, name in enumerate(NINE)}).to_numpy(int)
    expected = calibration_error(truth, chances, np.ones((1, len(rows))))[0]
    assert _curves.reliability(large, "ldsvm")[3] == pytest.approx(expected, abs=1e-12)


def test_figures_leave_pyplot_and_settings_alone(large):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figure = report.figure_scores(large)
    assert dict(matplotlib.rcParams) == before
    assert figure.axes[0].get_title(loc="left") == "Balanced accuracy"
