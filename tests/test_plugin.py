"""A family of another package is built, installed beside hemafeat, measured and checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hemafeat import extract, pipelines

EXAMPLE = Path(__file__).parents[1] / "examples" / "hemafeat-redness"
COLUMNS = ["cytoplasm__redness__mean", "cytoplasm__redness__share"]

MEASURE = """
import json, sys
import numpy as np
from hemafeat import extract
image = np.full((40, 40, 3), 230, np.uint8)
image[8:32, 8:32] = (120, 60, 60)
image[15:25, 15:25] = (60, 30, 120)
trimap = np.zeros((40, 40), np.uint8)
trimap[8:32, 8:32] = 128
trimap[15:25, 15:25] = 255
default = extract.table([image], masks=[trimap])
alone = extract.table([image], masks=[trimap], families=["redness"])
json.dump({
    "columns": extract.columns(),
    "described": extract.describe().query("family == 'redness'")["column"].tolist(),
    "features": extract.feature_columns(default),
    "row": default[sys.argv[1:]].iloc[0].tolist(),
    "alone": alone[sys.argv[1:]].iloc[0].tolist(),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the environment of a process with the wheel of the example on its path."""
    folder = tmp_path_factory.mktemp("plugin")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run(build, cwd=EXAMPLE, env=dict(os.environ))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_family_is_found_and_measured(installed, tmp_path):
    out = json.loads(run([sys.executable, "-c", MEASURE, *COLUMNS], env=installed, cwd=tmp_path))
    assert out["columns"][-2:] == COLUMNS, "families of other packages follow those of hemafeat"
    assert out["described"] == COLUMNS
    assert set(COLUMNS) <= set(out["features"])
    assert out["row"] == pytest.approx([0.5, 1.0])
    assert out["alone"] == out["row"]


def test_the_family_is_absent_if_not_installed(tmp_path):
    code = "from hemafeat import extract; print('redness' in extract.families())"
    assert run([sys.executable, "-c", code], cwd=tmp_path).strip() == "False"


AFTERWARDS = """
import sys
import numpy as np
from hemafeat import extract, pipelines
old = extract.load("old")
try:
    old[extract.columns()]
except KeyError as error:
    print(error)
print(old[extract.feature_columns(old)].shape[1])
try:
    extract.table(np.load("images.npy"), masks=np.load("masks.npy"), out="old")
except FileExistsError as error:
    print(error)
again = extract.table(
    np.load("images.npy"), masks=np.load("masks.npy"), families=["shape"], out="shape"
)
print(len(again))
new = extract.table(np.load("images.npy"), masks=np.load("masks.npy"))
model = pipelines.make("baseline").fit(new[extract.columns()], ["a", "b"])
pipelines.save(model, "new.hemafeat")
"""


def test_what_an_installed_family_does_to_earlier_results(installed, tmp_path, monkeypatch):
    """As docs/add_a_family.md says it."""
    monkeypatch.chdir(tmp_path)
    image = np.full((40, 40, 3), 230, np.uint8)
    image[8:32, 8:32] = (120, 60, 60)
    trimap = np.zeros((40, 40), np.uint8)
    trimap[8:32, 8:32] = 128
    trimap[15:25, 15:25] = 255
    np.save("images.npy", np.stack([image, image]))
    np.save("masks.npy", np.stack([trimap, trimap]))
    given = {"images": np.load("images.npy"), "masks": np.load("masks.npy")}
    old = extract.table(**given, out="old")
    extract.table(**given, families=["shape"], out="shape")
    said = run([sys.executable, "-c", AFTERWARDS], env=installed, cwd=tmp_path).splitlines()
    assert all(name in said[0] for name in COLUMNS)
    assert said[1] == str(len(extract.columns()))
    assert "families are now with redness" in said[2]
    assert said[3] == "2", "named families are those that were named"
    with pytest.raises(pipelines.ModelError, match="no family installed here is called redness"):
        pipelines.load("new.hemafeat").predict(old)


def test_the_example_passes_its_own_tests(installed, tmp_path):
    tests = EXAMPLE / "tests"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    out = run([*command, f"--rootdir={tests}"], env=installed, cwd=tmp_path)
    assert "2 passed" in out
