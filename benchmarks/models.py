"""Measure time and memory of comparisons of models at full size, on a drawn table.

    python benchmarks/models.py --models svc               # 17,000 cells, 600 columns, 5 folds
    python benchmarks/models.py --level patient            # all models of 163 patients
    python benchmarks/models.py --cells 4000 --jobs 2 --table features/

The drawn table has correlated columns in blocks of one mask and family, with long tails, missing
values where a cell has no nucleus, classes, and patients with attributes. With ``--table`` its
features are rows of a measured table instead, drawn with replacement, with some noise. The
comparison runs in a process of its own, whose memory is watched together with that of its workers.
Prints the seconds of every model, those of everything else, and the scores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import evaluate, extract

MASKS = ("cell", "nucleus", "cytoplasm")
FAMILIES = ("shape", "colour", "glcm", "lbp", "density", "gabor", "profile", "spots", "moments")
CLASSES = ("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil")
N_FACTORS = 40
PLATELET = "platelet"


def draw(cells: int, columns: int, patients: int, random_state: int = 0) -> pd.DataFrame:
    """Draw a table of cells: classes and patients shift some of the factors behind the columns.

    Parameters
    ----------
    cells, columns, patients : int
        Numbers of rows, features and patients.
    random_state : int
        Seed.

    Returns
    -------
    DataFrame
        ``image, cell, label, verdict, patient, age, sex, dob, lymphocyte_count``, the background
        white, and the features. `verdict` is the label of the patient.
    """
    rng = np.random.default_rng(random_state)
    names = np.array([*CLASSES, PLATELET])
    label = rng.integers(len(names), size=cells)
    sizes = rng.gamma(4.0, 1.0, patients)
    patient = np.sort(rng.choice(patients, size=cells, p=sizes / sizes.sum()))
    patient[:patients] = np.arange(patients)
    patient.sort()
    ill = rng.random(patients) < 0.69
    factors = rng.normal(size=(cells, N_FACTORS))
    factors += 0.6 * rng.normal(size=(len(names), N_FACTORS))[label]
    factors += 0.4 * rng.normal(size=(patients, N_FACTORS))[patient]
    abnormal = rng.random(cells) < np.where(ill, 0.3, 0.1)[patient]
    factors[:, :6] += 1.5 * abnormal[:, None]
    loadings = rng.normal(size=(N_FACTORS, columns)) / np.sqrt(N_FACTORS)
    values = factors @ loadings + 0.6 * rng.normal(size=(cells, columns))
    values[:, ::3] = np.exp(values[:, ::3])
    blocks = [(mask, family) for mask in MASKS for family in FAMILIES]
    titles = ["__".join((*blocks[j * len(blocks) // columns], f"f{j:04d}")) for j in range(columns)]
    of_nucleus = np.array([name.startswith("nucl") for name in titles])
    values[np.ix_(label == len(names) - 1, of_nucleus)] = np.nan
    white = np.clip(235 + 4 * rng.normal(size=(patients, 3))[patient], 0, 255)
    age = np.clip(rng.normal(62 + 6 * ill, 15), 18, 95).round()
    table = pd.DataFrame(
        {
            "image": [f"{row:06d}.png" for row in range(cells)],
            "cell": 1,
            "label": names[label],
            "verdict": np.where(ill, "malignant", "reactive")[patient],
            "patient": [f"P{number:03d}" for number in patient],
            "age": age[patient],
            "sex": np.where(rng.random(patients) < 0.5, "F", "M")[patient],
            "dob": [f"{2024 - int(years)}-06-15" for years in age[patient]],
            "lymphocyte_count": np.exp(rng.normal(1.5 + 0.9 * ill, 0.8))[patient],
            **{f"quality__white_{c}": white[:, k] for k, c in enumerate("rgb")},
        }
    )
    return pd.concat([table, pd.DataFrame(values, columns=titles)], axis=1)


def redraw(table: pd.DataFrame, source: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """Replace the features of a drawn table by those of a measured one, drawn with noise."""
    rng = np.random.default_rng(random_state)
    rows = rng.integers(len(source), size=len(table))
    values = source[extract.feature_columns(source)]
    scale = np.nan_to_num(values.std().to_numpy(), nan=0.0)
    drawn = values.to_numpy(dtype=np.float64)[rows]
    drawn += 0.2 * scale * rng.normal(size=drawn.shape)
    table = table.drop(columns=extract.feature_columns(table))
    table["label"] = source["label"].astype(str).to_numpy()[rows]
    return pd.concat([table, pd.DataFrame(drawn, columns=values.columns)], axis=1)


def processes(root: int) -> list[int]:
    """Return a process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found = [root]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return found


def memory(root: int) -> float:
    """Return the MB of a process and its descendants; shared pages count once."""
    total = 0
    for number in processes(root):
        try:
            text = Path(f"/proc/{number}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(text.partition("\nPss:")[2].split()[0])
    return total / 1024


def child(args: argparse.Namespace) -> None:
    """Compare the models and print what was measured as one line of JSON."""
    table = draw(args.cells, args.columns, args.patients)
    if args.table:
        table = redraw(table, extract.load(args.table))
    began = time.perf_counter()
    options: dict[str, Any] = {
        "n_splits": args.folds,
        "n_jobs": args.jobs,
        "importance": args.importance,
    }
    if args.level == "patient":
        comparison: evaluate.Comparison = evaluate.compare_patients(
            args.models, table, label="verdict", verdicts=args.importance, **options
        )
    else:
        comparison = evaluate.compare(args.models, table, groups="patient", **options)
    pooled = comparison.results[comparison.results["fold"] == "all"]
    pooled = pooled[pooled["metric"] == comparison.main_metric].set_index("model")["value"]
    print(
        json.dumps(
            {
                "wall": time.perf_counter() - began,
                "columns": len(extract.feature_columns(table)),
                "models": comparison.seconds.to_dict("records"),
                "scores": pooled.round(4).to_dict(),
            }
        )
    )


def processor(root: int) -> dict[int, float]:
    """Return the processor seconds of a process and its descendants so far."""
    seconds = {}
    for number in processes(root):
        try:
            entries = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        seconds[number] = (int(entries[11]) + int(entries[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def watch(command: Sequence[str]) -> tuple[dict[str, Any], float]:
    """Run a command; return what it printed, and the peak of its memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    seconds: dict[int, float] = {}
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        seconds.update(processor(process.pid))
        time.sleep(0.5)
    text = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(process.returncode)
    figures: dict[str, Any] = json.loads(text.splitlines()[-1])
    figures["processor"] = sum(seconds.values())
    return figures, peak


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--level", choices=("cell", "patient"), default="cell")
    parser.add_argument("--models", nargs="+", help="names of the models; all by default")
    parser.add_argument("--cells", type=int, default=17_000)
    parser.add_argument("--columns", type=int, default=600)
    parser.add_argument("--patients", type=int, default=163)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-importance", dest="importance", action="store_false")
    parser.add_argument("--table", help="measured table whose rows are drawn as features")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.run:
        child(args)
        return
    words = sys.argv[1:] if argv is None else list(argv)
    figures, peak = watch([sys.executable, __file__, "--run", *words])
    print(
        f"{args.cells:,} cells, {figures['columns']} columns, {args.patients} patients, "
        f"{args.folds} folds, {args.jobs} workers, {args.level} level"
    )
    rows = pd.DataFrame(figures["models"]).set_index("model")
    rows["balanced accuracy"] = pd.Series(figures["scores"])
    print(rows.round(3).to_string())
    print(
        f"wall {figures['wall']:.0f} s, processor {figures['processor']:.0f} s, "
        f"peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
