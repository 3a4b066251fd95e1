"""Measure calibration, coverage and refusal of models that can say no, within and across sets.

    python benchmarks/selective.py --out DIR                # drawn sets only
    python benchmarks/selective.py --out DIR --data DATA    # pbc_dev, segwbc_d1, bccd, red cells
    python benchmarks/selective.py --out DIR --data DATA --redrawn --models aligned:logistic

Five tables are printed and written to the folder of --out, where cells are measured only once:

`within.csv`: on held-out groups of the first set (5 folds), the coverage of the sets for each
stated coverage, what is refused, and the calibration error before and after calibration.
`across.csv`: the same on each other set, by models of the first, on the classes that both have;
with --align also after the columns of each set were replaced by normal scores of their ranks, which
needs the whole set at once and is no part of the package. Of bccd also the cells of odd rows,
which were kept back while models that are aligned learned to refuse.
`laboratories.csv`: segwbc_d1 scored by models of all others together, with a coverage of .95, where
the inner folds of the models keep groups together, or whole sets (laboratories).
`left_out.csv`: each class of the first set left out of training: area under the ROC curve of the
anomaly between held-out cells (a third) and the class left out, and how many of both are refused;
beside it the areas of other scores: distance to the nearest class (Mahalanobis, covariance shrunk
and pooled), local outlier factor, isolation forest, and one minus the highest probability.
`red_cells.csv`: the same for clumps of two to five touching red cells, cut by a threshold from
beside the white cells of PBC, which share stain and camera, and from the fields of draaslan and
Chula RBC-12, with their darker part as a nucleus; and for whatever the segmenter takes for cells in
the fields of Chula RBC-12, where there is hardly a white cell.

With --redrawn the cells are those of `laboratories.py`: five types, at one scale, with redrawn
copies of those trained on.

The sizes of a pixel are those of `cross.py`; of draaslan 0.1 um, of Chula RBC-12 its scale bar.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from cross import CLASSES, UM_PER_PX, drawn
from laboratories import cells as of_laboratory, original
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import LocalOutlierFactor

from hemafeat import datasets, evaluate, extract, pipelines, segment
from hemafeat.images import read

RED = {"pbc_dev": UM_PER_PX["pbc_dev"], "chula_rbc": 20 / 104, "draaslan": 0.1}
_FEW = 6
SCORED_ONLY = "segwbc_d1"
"""Set that no model is trained on."""

KEPT_BACK = "bccd"
"""Set of which odd rows were kept back."""

TABLES = ("within", "across", "laboratories", "left_out", "red_cells")
SHOWN = [
    *("stated", "coverage", "coverage_low", "coverage_high", "least_coverage", "set_size"),
    *("refused", "unlike", "accuracy", "answered", "error_before", "error_after"),
]


def measured(out: Path, name: str, images: Callable[[], pd.DataFrame], **options: object):
    """Return the table of the cells of a set, measured now unless it was measured before."""
    file = out / f"{name}.parquet"
    if not file.exists():
        table = extract.table(images(), progress=False, **options)
        extract.save(table, file)
    return extract.load(file)


def real(data: Path, out: Path, jobs: int | None) -> dict[str, pd.DataFrame]:
    """Measure the sets of white cells that exist, the first to train on."""
    loaders = {"pbc_dev": datasets.pbc, "segwbc_d1": datasets.segwbc, "bccd": datasets.bccd}
    return {
        name: measured(
            out,
            name,
            lambda name=name, load=load: (
                load(data / name)
                .dropna(subset="label")
                .assign(dataset=name, um_per_px=UM_PER_PX[name])
            ),
            cells="central",
            masks=None if name == "pbc_dev" else "given",
            n_jobs=jobs,
        )
        for name, load in loaders.items()
        if (data / name).is_dir()
    }


def red_cells(data: Path, out: Path, jobs: int | None) -> dict[str, pd.DataFrame]:
    """Measure clumps of red cells, and what is found in fields without white cells."""
    found = {}
    for name, um_per_px in RED.items():
        if (data / name).is_dir():
            found[f"clumps of {name}"] = measured(
                out,
                f"clumps_{name}",
                lambda name=name, scale=um_per_px: clumps(
                    data / name, out / f"clumps_{name}", scale
                ),
                masks="given",
                cells="central",
                n_jobs=jobs,
            )
    if (data / "chula_rbc").is_dir():
        files = sorted(map(str, (data / "chula_rbc" / "images").glob("*.jpg")))
        table = pd.DataFrame({"image": files, "um_per_px": RED["chula_rbc"]})
        found["found in chula_rbc"] = measured(
            out, "chula_rbc", lambda: table, cells="all", n_jobs=jobs
        )
    return found


def clumps(root: Path, out: Path, um_per_px: float, most: int = 60) -> pd.DataFrame:
    """Cut touching red cells from fields, and write crops and masks."""
    rows: list[dict[str, object]] = []
    out.mkdir(parents=True, exist_ok=True)
    for image, white, n_cells_of in fields(root, um_per_px):
        green = image[..., 1]
        level, _ = cv2.threshold(green[~white].reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
        outlines, _ = cv2.findContours(
            (green < level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        for outline in outlines:
            x, y, w, h = cv2.boundingRect(outline)
            inside = 2 <= x < green.shape[1] - w - 2 and 2 <= y < green.shape[0] - h - 2
            cell = cv2.drawContours(np.zeros_like(green), [outline], -1, 1, -1)
            if not inside or not 2 <= n_cells_of(cell) <= 5 or (white & (cell > 0)).any():
                continue
            dark, _ = cv2.threshold(green[cell > 0].reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
            mask = np.where(cell == 0, 0, np.where(green < dark, 255, 128)).astype(np.uint8)
            part = np.s_[max(0, y - 12) : y + h + 12, max(0, x - 12) : x + w + 12]
            paths = [out / f"{len(rows)}_{kind}.png" for kind in ("image", "mask")]
            cv2.imwrite(str(paths[0]), image[part][..., ::-1])
            cv2.imwrite(str(paths[1]), mask[part])
            rows.append({"image": str(paths[0]), "mask": str(paths[1]), "um_per_px": um_per_px})
            if len(rows) == most:
                return pd.DataFrame(rows)
    return pd.DataFrame(rows)


def fields(root: Path, um_per_px: float) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Yield images in a random order, where white cells are, and what counts red cells in a mask.

    The counts are those of the annotations, or the area in that of a round cell of 7.2 um.
    """
    rng = np.random.default_rng(0)
    if root.name == "pbc_dev":
        usual = np.pi / 4 * (7.2 / um_per_px) ** 2
        for file in rng.permutation(datasets.pbc(root)["image"]):
            image = read(file)
            white = cv2.dilate((segment.contours(image).cell > 0).astype(np.uint8), np.ones((9, 9)))
            yield image, white > 0, lambda cell: round(cell.sum() / usual)
        return
    if (root / "points.csv").exists():
        points = pd.read_csv(root / "points.csv")
    else:
        points = pd.read_csv(root / "boxes.csv").query("label == 'rbc'")
        points = points.assign(
            x=(points["xmin"] + points["xmax"]) / 2, y=(points["ymin"] + points["ymax"]) / 2
        )
    for file in rng.permutation(points["path"].unique()):
        image = read(root / file)
        of_file = points[points["path"] == file]
        at = tuple(
            np.clip(of_file[axis].astype(int), 0, length - 1)
            for axis, length in zip("yx", image.shape[:2], strict=True)
        )
        yield image, np.zeros(image.shape[:2], bool), lambda cell, at=at: int(cell[at].sum())


def selective(model: str, coverage: float) -> pipelines.SelectiveClassifier:
    return pipelines.SelectiveClassifier(pipelines.make(model), coverage=coverage, alone=True)


def by_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Replace each column by the normal scores of its ranks in the table."""
    from scipy.stats import norm

    names = extract.feature_columns(table)
    ranks = table[names].rank(pct=True) - 0.5 / len(table)
    aligned = table.assign(**pd.DataFrame(norm.ppf(ranks), table.index, names))
    aligned.attrs = {}
    return aligned


def within(table: pd.DataFrame, models: Sequence[str], stated: Sequence[float], n_boot: int):
    """Score models on held-out groups of one set, at each stated coverage."""
    made = {f"{name} {of:g}": selective(name, of) for name in models for of in stated}
    found = evaluate.compare(made, table, n_boot=n_boot, importance=False)
    return found.answers().sort_values("model").set_index("model")[SHOWN]


def across(sets: dict[str, pd.DataFrame], models, stated, n_boot: int, align: bool):
    """Score models of the first set on each other one."""
    first, *others = sets
    rows = []
    tests = {other: original(sets[other]) for other in others}
    if KEPT_BACK in tests:
        tests[f"{KEPT_BACK}, kept back"] = tests[KEPT_BACK].iloc[1::2]
    for other, table in tests.items():
        for how in ("as it is", *(["ranks"] if align else [])):
            pair = [of if how == "as it is" else by_ranks(of) for of in (sets[first], table)]
            both = datasets.merge({first: pair[0], other: pair[1]})
            made = {f"{name} {of:g}": selective(name, of) for name in models for of in stated}
            found = evaluate.compare(
                made,
                both,
                protocol=evaluate.protocol("cross-dataset", train=first, test=other),
                n_boot=n_boot,
                importance=False,
            )
            answers = found.answers().query("dataset == 'all'").sort_values("model")
            rows.append(answers.assign(test=other, columns=how))
    return pd.concat(rows).set_index(["test", "columns", "model"])[SHOWN]


def laboratories(sets: dict[str, pd.DataFrame], models: Sequence[str], align: bool):
    """Score one set by models of all others together, with inner folds by group and by set."""
    held_out = SCORED_ONLY if SCORED_ONLY in sets else list(sets)[-1]
    rows = []
    for how in ("as it is", *(["ranks"] if align else [])):
        merged = datasets.merge(
            {name: table if how == "as it is" else by_ranks(table) for name, table in sets.items()}
        )
        for by in ("group", "dataset"):
            found = evaluate.compare(
                {name: selective(name, 0.95) for name in models},
                merged,
                groups=by,
                protocol=evaluate.protocol(
                    "cross-dataset",
                    train=[name for name in sets if name != held_out],
                    test=held_out,
                ),
                n_boot=5,
                importance=False,
            )
            answers = found.answers().query("dataset == 'all'")
            rows.append(answers.assign(dataset=held_out, columns=how, folds=f"by {by}"))
    index = ["dataset", "columns", "folds", "model"]
    without = [name for name in SHOWN if not name.endswith(("_low", "_high"))]
    return pd.concat(rows).sort_values(index).set_index(index)[without]


def divided(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide a table into two thirds to train on and one to hold back, by groups."""
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    train, test = next(folds.split(table, table["label"], table["group"]))
    return table.iloc[train], table.iloc[test]


def refusal(model: pipelines.SelectiveClassifier, usual: pd.DataFrame, odd: pd.DataFrame):
    """Return how well a fitted model tells usual cells from odd ones, and what it refuses."""
    answers = [model.answers(table) for table in (usual, odd)]
    is_odd = np.repeat([0, 1], list(map(len, answers)))
    anomaly = np.concatenate([of["anomaly"] for of in answers])
    return {
        "n": len(odd),
        "auc": roc_auc_score(is_odd, anomaly),
        "usual_refused": (answers[0]["refused"] != "").mean(),
        "odd_refused": (answers[1]["refused"] != "").mean(),
        "odd_unlike": (answers[1]["refused"] == model.UNLIKE).mean(),
    }


def fitted(table: pd.DataFrame, name: str) -> pipelines.SelectiveClassifier:
    columns = [*extract.feature_columns(table), "group"]
    return selective(name, 0.95).fit(table[columns], table["label"].astype(str).to_numpy())


def left_out(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Leave each class out of training, and tell its cells from held-out ones of the others."""
    rows = {}
    # A class of a few cells cannot be divided.
    table = table[table.groupby("label")["label"].transform("size") >= _FEW].reset_index(drop=True)
    for name in sorted(set(table["label"])):
        train, test = divided(table[table["label"] != name])
        odd = table[table["label"] == name]
        made = fitted(train, model)
        rows[name] = refusal(made, test, odd) | others(made, train, test, odd)
    found = pd.DataFrame(rows).T
    return pd.concat([found, found.mean().rename("mean").to_frame().T])


def others(model, train: pd.DataFrame, usual: pd.DataFrame, odd: pd.DataFrame) -> dict[str, float]:
    """Return the areas under the ROC curve of other scores, on the scaled columns of the model."""
    scaled = model.detector_[:-1]
    known, *new = (scaled.transform(of[model.columns_].to_numpy()) for of in (train, usual, odd))
    labels = train["label"].to_numpy()
    means = {name: known[labels == name].mean(axis=0) for name in set(labels)}
    within = known - np.stack([means[name] for name in labels])
    precision = LedoitWolf(assume_centered=True).fit(within).precision_
    distance = lambda X: np.min(  # noqa: E731
        [np.einsum("ij,jk,ik->i", X - mean, precision, X - mean) for mean in means.values()], axis=0
    )
    factor = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(known)
    forest = IsolationForest(n_estimators=200, random_state=0).fit(known)
    scores = {
        "mahalanobis": [distance(X) for X in new],
        "lof": [-factor.score_samples(X) for X in new],
        "isolation_forest": [-forest.score_samples(X) for X in new],
        "uncertainty": [1 - model.predict_proba(of).max(axis=1) for of in (usual, odd)],
    }
    is_odd = np.repeat([0, 1], [len(usual), len(odd)])
    return {name: roc_auc_score(is_odd, np.concatenate(of)) for name, of in scores.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--data", metavar="DIR", help="folder of real sets")
    parser.add_argument("--drawn", type=int, default=160, help="images of each drawn set")
    parser.add_argument("--families", nargs="+", default="default", help="of the drawn sets")
    parser.add_argument("--models", nargs="+", default=["svc"])
    parser.add_argument("--coverage", nargs="+", type=float, default=[0.9, 0.95, 0.99])
    parser.add_argument("--boot", type=int, default=1000)
    parser.add_argument("--align", action="store_true", help="also align the sets by ranks")
    parser.add_argument(
        "--redrawn", action="store_true", help="one scale, and redrawn copies to train on"
    )
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--first", metavar="SET", help="set to train on; default: pbc_dev")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, help="tables to make")
    args = parser.parse_args(arguments)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")  # of sets that differ in their class shares
    if args.redrawn:
        names = [name for name in ("pbc_dev", SCORED_ONLY, KEPT_BACK) if has(args.data, name)]
        sets = {
            name: of_laboratory(Path(args.data), name, "grid", 2, out, args.jobs) for name in names
        }
    elif args.data:
        sets = real(Path(args.data), out, args.jobs)
    else:
        sets = {
            name: measured(
                out,
                name,
                lambda images=images: images.assign(um_per_px=0.1),
                families=args.families,
                n_jobs=args.jobs,
            )
            for name, images in drawn(out / "drawn", args.drawn).items()
        }
    if args.redrawn and not sets:
        parser.error("--redrawn needs real sets: --data")
    first = args.first or next(iter(sets))
    if first == SCORED_ONLY:
        parser.error(f"--first: {SCORED_ONLY} is only scored")
    sets = {first: sets[first], **sets}
    if "within" in args.only:
        shown(out, "within", within(sets[first], args.models, args.coverage, args.boot))
    of_both = {
        name: table if name == first else table[table["label"].isin([*CLASSES, "basophil"])]
        for name, table in sets.items()
    }
    if "across" in args.only and len(sets) > 1:
        shown(out, "across", across(of_both, args.models, args.coverage, args.boot, args.align))
    if "laboratories" in args.only and len(sets) > 2:
        of_all = {
            name: table[table["label"].isin([*CLASSES, "basophil"])] for name, table in sets.items()
        }
        shown(out, "laboratories", laboratories(of_all, args.models, args.align))
    if "left_out" in args.only:
        shown(out, "left_out", left_out(sets[first], args.models[0]))
    if "red_cells" in args.only and args.data:
        train, test = divided(sets[first])
        model = fitted(train, args.models[0])
        odd = red_cells(Path(args.data), out, args.jobs)
        rows = {name: refusal(model, test, table) for name, table in odd.items()}
        shown(out, "red_cells", pd.DataFrame(rows).T)


def has(data: str | None, name: str) -> bool:
    return data is not None and (Path(data) / name).is_dir()


def shown(out: Path, name: str, table: pd.DataFrame) -> None:
    """Print a table and write it to a file."""
    table.to_csv(out / f"{name}.csv")
    with pd.option_context("display.width", None, "display.max_columns", None):
        print(f"\n{name}\n{table.astype(float).round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main()
