"""The page on which cells are looked at: what it holds, and what it does in a browser."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract, report

BROWSER = Path(__file__).parents[1] / "support" / "browser.py"
WITHOUT = importlib.util.find_spec("PyQt6") is None


def has_browser() -> bool:
    return not WITHOUT and importlib.util.find_spec("PyQt6.QtWebEngineWidgets") is not None


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twenty-four drawn cells of three classes, in files, one of them under a wrong label."""
    import cv2

    place = tmp_path_factory.mktemp("cells")
    rows = []
    for k in range(24):
        kind = ("lymphocyte", "monocyte", "neutrophil")[k % 3]
        cell = datasets.draw_cell(kind, random_state=k)
        cv2.imwrite(str(place / f"{k:02d}.png"), cell.image[..., ::-1])
        rows.append({"image": str(place / f"{k:02d}.png"), "label": kind, "patient": f"P{k % 4}"})
    cells = extract.table(pd.DataFrame(rows), families=["shape", "colour"])
    assert len(cells) == 24
    cells.loc[cells.index[3], "label"] = "</script><b>&"
    return cells


@pytest.fixture(scope="module")
def page(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("page")
    return report.explore(table, out, map="pca", suspected=False, title="A <title>")


def held(page: Path) -> tuple[dict, dict[str, str]]:
    """Return what the script of a page reads."""
    text = page.read_text("utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    blocks = re.findall(r'<script type="text/plain" id="block-([^"]+)">(.*?)</script>', text, re.S)
    return json.loads(data.group(1)), dict(blocks)


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def test_the_page_is_one_file_that_loads_nothing(page):
    text = page.read_text("utf-8")
    assert page.name == "explore.html"
    assert not re.search(r'(?:src|href)="(?!data:|#|\{)', text)
    assert not re.search(r"\bhttps?://(?!www\.w3\.org/2000/svg)", text)
    assert "<h1>A &lt;title&gt;</h1>" in text
    assert "</script><b>" not in text


def test_values_come_back_as_they_were(table, page):
    data, blocks = held(page)
    values = unpacked(blocks["values"], "<u2").reshape(len(data["numbers"]), data["n"])
    order = [data["images"]["tails"][k] for k in unpacked(data["images"]["codes"], "<u4")]
    rows = table.set_index(table["image"].map(lambda name: Path(name).name)).loc[order]
    features = extract.feature_columns(table)
    assert [c["key"] for c in data["numbers"][data["first"] :]] == features
    for told, codes in zip(data["numbers"], values, strict=True):
        real = rows[told["key"]].to_numpy(float)
        assert (np.isnan(real) == (codes == 65535)).all()
        known = ~np.isnan(real)
        assert told.get("missing", 0) == (~known).sum()
        if known.any():
            span = told["high"] - told["low"]
            back = told["low"] + span * codes[known] / 65534
            assert np.allclose(back, real[known], atol=span / 65534 + 1e-12)
    label = next(c for c in data["names"] if c["key"] == "label")
    names = [label["values"][k] for k in unpacked(label["codes"], "<u2")]
    assert names == rows["label"].tolist()
    assert {"patient", "quality__suspected_failure"} <= {c["key"] for c in data["names"]}


def test_pictures_are_the_cells_with_their_outlines(table, page):
    from PIL import Image

    from hemafeat import images, segment

    data, blocks = held(page)
    side = data["pictures"]["side"]
    sheet = Image.open(io.BytesIO(base64.b64decode(blocks["sheet-0"].split(",")[1])))
    assert sheet.width == side * data["pictures"]["per_row"]
    assert unpacked(blocks["shown"], "u1").all()
    # The first cell: its outline holds as much of the picture as its mask does of the window.
    lines = unpacked(blocks["outlines"], "u1")
    assert lines[0] >= 2
    n = lines[2]
    points = lines[3 : 3 + 2 * n].reshape(n, 2).astype(float) / 255
    x, y = points.T
    area = 0.5 * abs((x * np.roll(y, 1) - y * np.roll(x, 1)).sum())
    first = table.sort_values("image").iloc[0]
    masks = segment.contours(images.read(first["image"]))
    across, down = np.nonzero((masks.cell == first["cell"]).T)
    window = 1.35 * max(np.ptp(across), np.ptp(down)) + 9
    assert area == pytest.approx(len(down) / window**2, rel=0.1)


def test_copies_and_further_cells_are_left_out(table, tmp_path):
    copies = pd.concat([table.assign(redrawn=0), table.assign(redrawn=1)], ignore_index=True)
    page = report.explore(
        copies, tmp_path / "a.html", map="pca", pictures=False, suspected=False, n_cells=10
    )
    data, blocks = held(page)
    assert data["n"] == 10
    assert "10 of 24 cells, drawn at random." in page.read_text("utf-8")
    assert set(blocks) == {"values", "map-pca"}


def test_a_removed_image_is_said(table, tmp_path):
    gone = table.head(3).copy()
    gone.loc[gone.index[0], "image"] = str(tmp_path / "gone.png")
    page = report.explore(gone, tmp_path, map="pca", suspected=False)
    assert re.search("1 cell without a picture: .*gone.png", page.read_text("utf-8"))
    assert unpacked(held(page)[1]["shown"], "u1").sum() == 2


def test_predictions_and_doubts_are_those_of_the_comparison(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b"])[np.arange(60) % 2]
    cells = pd.DataFrame({"image": [f"{k:02d}.png" for k in range(60)], "cell": 1, "label": labels})
    for name in ("cell__shape__f", "cell__shape__g"):
        cells[name] = rng.normal(size=60) + 8 * (labels == "a")
    cells.loc[7, "label"] = "a"
    comparison = evaluate.compare("logistic", cells, groups=None, n_boot=2, importance=False)
    page = report.explore(cells, tmp_path, comparison=comparison, pictures=False, map="pca")
    data, _ = held(page)
    named = {c["key"]: c for c in data["names"]}
    assert named["predicted"]["title"] == "Predicted by logistic"
    found = [named["predicted"]["values"][k] for k in unpacked(named["predicted"]["codes"], "<u2")]
    told = comparison.predictions.query("model == 'logistic'").sort_values("image")
    assert found == told["predicted"].tolist()
    assert data["doubts"][0][0] == 7
    assert data["classes"][data["doubts"][0][1]] == "b"
    assert data["doubts"][0][-1] == 1
    with pytest.raises(ValueError, match="not one of this table"):
        report.explore(
            cells.assign(image="x" + cells["image"]),
            tmp_path,
            comparison=comparison,
            pictures=False,
        )


def test_the_columns_are_described(tmp_path):
    """Missing, outlying, repeated and telling columns, by values that leave no doubt."""
    from hemafeat.report._explore.columns import survey

    rng = np.random.default_rng(0)
    labels = ["a"] * 50 + ["b"] * 50
    values = rng.normal(size=(100, 5))
    values[:50, 1] += 20  # classes far apart: no outlier within its class
    values[:, 2] = -np.exp(values[:, 0])  # the same order, reversed
    values[3, 3] = 60.0
    values[:10, 4] = np.nan
    found = survey(values, labels)
    assert found.missing.tolist() == [0, 0, 0, 0, 10]
    assert found.outliers[[0, 1, 3]].tolist() == [0, 0, 1]
    assert 3 in found.outlying
    # Ranks of two classes that do not overlap: three quarters of the variance.
    assert found.between[1] == pytest.approx(0.75, abs=0.01)
    assert found.between[0] < 0.1
    assert (found.partner[0], found.partner[2]) == (2, 0)
    assert found.correlation[0] == pytest.approx(-1.0)
    assert found.groups == [[0, 2]]
    assert found.patterns == [([4], list(range(10)))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.head(0), "no cells"),
        (lambda t: t[["image", "label"]], "no feature columns"),
        (lambda t: t.drop(columns="image"), "no column 'image'"),
    ],
)
def test_a_table_without_cells_is_refused(table, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        report.explore(change(table), tmp_path)


# --- In a browser ---------------------------------------------------------------------------------


def browse(page: Path, steps: list, tmp_path: Path) -> list:
    """Do the steps on a page and return their values; an error of the page fails."""
    if not has_browser():
        pytest.skip("PyQt6-WebEngine is not installed (tox -e browser)")
    (tmp_path / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(BROWSER), str(page), str(tmp_path / "steps.json")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox --disable-gpu",
            "QTWEBENGINE_DISABLE_SANDBOX": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert not said["errors"], said["errors"]
    return said["results"]


PLACE = (
    "(i => {const b = document.getElementById('over').getBoundingClientRect(),"
    "[x, y] = hemafeat.at(i); return [x + b.left, y + b.top]})"
)


def test_cells_are_seen_selected_and_edited(table, page, tmp_path):
    """Hover, click, box and lasso; relabel, leave out; the file is read by `edited`."""
    (places,) = browse(
        page, [["js", f"Array.from({{length: 24}}, (_, i) => {PLACE}(i))"]], tmp_path
    )
    x, y = (round(value) for value in places[5])
    left, top = (min(p[k] for p in places) - 12 for k in (0, 1))
    right, bottom = (max(p[k] for p in places) + 12 for k in (0, 1))
    corners = [[int(left), int(top)], [int(right), int(top)], [int(right), int(bottom)],
               [int(left), int(bottom)], [int(left), int(top)]]  # fmt: skip
    state = "JSON.stringify(hemafeat.state())"
    steps = [
        ["downloads", str(tmp_path)],
        ["move", x - 60, y - 60],
        ["move", x, y],
        ["js", state],
        ["js", "document.querySelector('#one canvas.cell').width > 100"],
        ["click", x, y],
        ["js", state],
        ["js", "document.querySelector('[data-tool=box]').click()"],
        ["drag", corners[0], [int(right) - 40, int(bottom) - 40], [int(right), int(bottom)]],
        ["js", state],
        ["js", "document.querySelectorAll('#selection .tiles canvas').length"],
        ["js", "hemafeat.pick([]); document.querySelector('[data-tool=lasso]').click()"],
        ["drag", *corners],
        ["js", state],
        ["js", "hemafeat.pick([0, 1, 2, 3, 4, 5, 6])"],
        ["js", "document.querySelectorAll('#selection .distribution svg').length"],
        ["js", "const to = document.querySelector('#selection select');"
               "to.value = 'monocyte'; to.dispatchEvent(new Event('change'))"],
        ["js", "hemafeat.edit([8], 'exclude'); hemafeat.edit([9], 'relabel', '=new, \"type\"')"],
        ["js", "document.getElementById('edits').textContent"],
        ["js", "document.getElementById('save').click()"],
        ["wait", 1500],
    ]  # fmt: skip
    out = browse(page, steps, tmp_path)
    states = [json.loads(value) for value in out if isinstance(value, str) and value[:1] == "{"]
    hovered, clicked, boxed, lassoed = states
    assert hovered["hovered"] == 5
    assert clicked["chosen"] == 5
    assert sorted(boxed["selection"]) == list(range(24))
    assert sorted(lassoed["selection"]) == list(range(24))
    assert 9 in out
    assert any(value in (1, 2, 3, 4) for value in out if isinstance(value, int | float))
    order = table.sort_values("image").reset_index(drop=True)
    n_changed = int((order["label"].head(7) != "monocyte").sum()) + 1
    assert f"{n_changed} relabelled, 1 left out" in out
    changed = datasets.edited(order, tmp_path / "edits.csv")
    assert changed["label"].head(7).tolist() == ["monocyte"] * 7
    assert 8 not in changed.index
    assert changed.loc[9, "label"] == '=new, "type"'
    assert changed.attrs["edits"].startswith(f"{n_changed} labels changed and 1 cell left out")


def test_every_view_fits_every_screen(page, tmp_path):
    views = ["map", "columns", "classes", "labels", "about"]
    steps = []
    for width in (1500, 1000, 390):
        steps.append(["size", width, 844])
        for view in views:
            steps.append(["js", f"hemafeat.tab('{view}')"])
            steps.append(
                ["js", "[document.documentElement.scrollWidth - innerWidth,"
                       "document.querySelectorAll('[id^=tab-].on').length,"
                       "document.querySelector('[id^=tab-].on').innerText.length]"]
            )  # fmt: skip
    # In a tall, narrow window the map is no strip.
    shape = "(({width, height}) => height / width)(document.querySelector('#plot')"
    steps += [["size", 390, 1400], ["js", "hemafeat.tab('map')"]]
    steps.append(["js", f"{shape}.getBoundingClientRect())"])
    found = browse(page, steps, tmp_path)
    assert 0.8 < found[-1] < 1.4
    measured = [value for value in found if isinstance(value, list)]
    assert len(measured) == 3 * len(views)
    for beyond, n_views, n_words in measured:
        assert beyond <= 0
        assert n_views == 1
        assert n_words > 40


def test_twenty_thousand_cells_stay_fluid(tmp_path):
    rng = np.random.default_rng(0)
    n = 20_000
    cells = pd.DataFrame({"image": [f"{k}.png" for k in range(n)], "cell": 1})
    cells["label"] = np.array(list("abcde"))[rng.integers(0, 5, n)]
    for k in range(6):
        cells[f"cell__shape__f{k}"] = rng.normal(size=n)
    page = report.explore(cells, tmp_path, map="pca", pictures=False, suspected=False)
    draws = (
        "(() => { const t = []; for (let k = 0; k < 9; k++) { hemafeat.drawNow();"
        "t.push(hemafeat.state().ms); } return t.sort((a, b) => a - b)[4]; })()"
    )
    steps = [
        ["js", draws],
        ["js", "hemafeat.pick(Array.from({length: 3000}, (_, k) => 5 * k)) || 0"],
        ["js", draws],
    ]
    whole, _, selected = browse(page, steps, tmp_path)
    # Without a graphics card, on a loaded machine; 100 ms is what a hand does not notice.
    assert whole < 100
    assert selected < 100
