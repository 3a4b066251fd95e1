"""Whether a change of the code changed a value: record what it computes, then compare two records.

    python benchmarks/unchanged.py record BEFORE [--data FOLDER]
    python benchmarks/unchanged.py record AFTER [--data FOLDER]
    python benchmarks/unchanged.py compare BEFORE AFTER [--renamed NAMES.json]

`record` writes one file for each table, and needs some minutes, more where kernels are not compiled
yet. FOLDER holds the real cells (`pbc_dev`, `segwbc_d1`); without it only drawn cells are measured:

- images: those drawn, and the places of the real ones, with a hash of the pixels;
- cells: every family of features, outlined by `contours`, with units and errors, and the default
  families of a drawn cohort and of stain-normalised cells in given masks;
- segments: the label images and quality of `unet` and `best`;
- models: a comparison of models on cells, with every table of it;
- patients: the same on a drawn cohort, with the contributions of the cells.

`compare` prints one line for each file and exits with 1 where anything differs. Values are the same
where they are equal or both missing, of the same type. NAMES.json is one object, from names of
before to names of now: columns, models, families, and arrays of the segments.

Not recorded: how long it took (`seconds`) and the versions of packages (`versions`, `version`). The
hash that a comparison keeps of its input (`fingerprint`) holds names of columns; `--renamed` leaves
it out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hemafeat import datasets, evaluate, extract, pipelines, segment

LEFT_OUT = ("seconds", "version", "versions")
"""Columns of times and versions, which differ between two runs of the same code."""

HASHES = ("fingerprint",)
"""Columns that hold a hash of names, and so change with a name."""

NAMING = ("array", "column", "family", "mask", "metric", "model", "model_a", "model_b")
"""Columns whose text is a name of something, so that `--renamed` applies to it."""

MODELS = ("logistic", "svc", "random_forest", "xgboost")
FINDINGS = ("results", "predictions", "differences", "importances", "errors")


class Record:
    """A folder of tables and arrays, with places of images relative to their data set.

    Parameters
    ----------
    folder : path
        Made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(f"{folder} is not empty: a record needs a folder of its own")

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Write a table without what differs from run to run."""
        kept = table.drop(columns=list(LEFT_OUT), errors="ignore").reset_index(drop=True)
        kept.attrs = {}
        kept.to_parquet(self.folder / f"{name}.parquet")
        print(f"{name}: {len(kept)} rows, {len(kept.columns)} columns", flush=True)

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write arrays by name."""
        np.savez_compressed(self.folder / f"{name}.npz", **arrays)
        print(f"{name}: {len(arrays)} arrays", flush=True)


def read_pixels(path: str) -> np.ndarray:
    """Read an image as (H, W, 3) uint8, RGB."""
    return cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def hash_pixels(image: np.ndarray) -> str:
    """Hash the pixels, not the file: how it was compressed does not matter."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def strip_folder(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Make every text that names a file of `folder` relative to it."""
    out = table.copy()
    for name in out.columns:
        if not pd.api.types.is_numeric_dtype(out[name].dtype):
            out[name] = [
                value.replace(f"{folder}/", "") if isinstance(value, str) else value
                for value in out[name]
            ]
    return out


def measure_cells(
    record: Record, name: str, listed: pd.DataFrame, folder: Path, **how: Any
) -> pd.DataFrame:
    """Record the images of a data set and the features of their cells; return the features."""
    hashes = [hash_pixels(read_pixels(path)) for path in listed["image"]]
    record.write(f"images_{name}", strip_folder(listed, folder).assign(pixels=hashes))
    how = {"segmenter": "contours", "families": "all", **how}
    table = extract.table(listed, progress=False, **how)
    units = extract.units(table).items()
    errors = strip_folder(extract.errors(table), folder)
    table = strip_folder(table, folder)
    record.write(f"cells_{name}", table)
    record.write(f"cells_{name}_units", pd.DataFrame(units, columns=["column", "unit"]))
    record.write(f"cells_{name}_errors", errors)
    return table


def segment_images(record: Record, name: str, images: Mapping[str, np.ndarray]) -> None:
    """Record the label images of `unet` and `best`, and what they say of each cell."""
    arrays: dict[str, np.ndarray] = {}
    quality = []
    for place, image in images.items():
        for how in (segment.unet, segment.best):
            masks = how(image)
            arrays[f"{how.__name__}_{place}_cell"] = masks.cell
            arrays[f"{how.__name__}_{place}_nucleus"] = masks.nucleus
            found = pd.DataFrame(dict(masks.quality))
            found.insert(0, "image", place)
            found.insert(0, "model", how.__name__)
            quality.append(found)
    record.write_arrays(f"segments_{name}", arrays)
    record.write(f"segments_{name}_quality", pd.concat(quality, ignore_index=True))


def write_comparison(record: Record, name: str, found: evaluate.Comparison) -> None:
    """Record every table of a comparison, its confusion of classes and how it was done."""
    for part in FINDINGS:
        record.write(f"{name}_{part}", getattr(found, part))
    record.write(f"{name}_summary", found.summary().reset_index())
    tables = {"confusion": found.confusion, "per_class": found.per_class}
    for part, ask in tables.items():
        rows = [ask(model).reset_index().assign(model=model) for model in found.models]
        record.write(f"{name}_{part}", pd.concat(rows, ignore_index=True))
    facts = {
        "classes": ", ".join(found.classes),
        "leaky": str(found.leaky),
        "protocol": found.protocol,
        "transductive": ", ".join(found.transductive),
    }
    record.write(f"{name}_facts", pd.DataFrame(facts.items(), columns=["fact", "value"]))


def compare_cells(
    record: Record, name: str, table: pd.DataFrame, metadata: Iterable[str] = ()
) -> None:
    """Record a comparison of models on cells."""
    found = evaluate.compare(
        list(MODELS),
        table,
        n_splits=3,
        metadata=list(metadata),
        rare="drop",
        n_boot=200,
        random_state=0,
        progress=False,
    )
    write_comparison(record, f"models_{name}", found)


def compare_patients(record: Record, name: str, table: pd.DataFrame) -> None:
    """Record a comparison of every model of patients that needs no Keras."""
    found = evaluate.compare_patients(
        None, table, n_splits=3, n_boot=200, random_state=0, progress=False
    )
    write_comparison(record, f"patients_{name}", found)
    record.write(f"patients_{name}_patients", found.patients)
    record.write(f"patients_{name}_verdicts", found.verdicts)
    table_of = pipelines.PatientTable(["mean", "sd", "p90", "min", "max"])
    rows = pipelines.bags(table, label="label")
    frame = table_of.set_output(transform="pandas").fit_transform(rows)
    record.write(f"patients_{name}_table", frame)


def record_drawn(record: Record) -> None:
    """Record what is computed of drawn cells, drawn fields and drawn patients."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listed = datasets.drawn(folder / "cells", n_images=60, random_state=0, progress=False)
        table = measure_cells(record, "drawn", listed, folder / "cells")
        cohort = datasets.drawn_cohort(
            folder / "cohort",
            18,
            cells=(4, 8),
            size=160,
            attribute_signal=0.5,
            leak_format=0.5,
            random_state=0,
        )
        of_patients = measure_cells(record, "cohort", cohort, folder / "cohort", families="default")
    fields = {
        f"field{seed}": datasets.draw_field(
            ["neutrophil", "lymphocyte", "monocyte"], shape=(360, 480), random_state=seed
        )
        for seed in range(3)
    }
    truth = {
        f"{part}_{name}": getattr(field, part)
        for name, field in fields.items()
        for part in ("image", "cell", "nucleus")
    }
    record.write_arrays("fields", truth)
    segment_images(record, "fields", {name: field.image for name, field in fields.items()})
    compare_cells(record, "drawn", table, metadata=["um_per_px"])
    compare_patients(record, "cohort", of_patients)
    bags = datasets.drawn_bags(30, attribute_signal=0.5, leak_format=0.5, random_state=1)
    record.write("bags", bags)
    compare_patients(record, "bags", bags)


def record_real(record: Record, data: Path) -> None:
    """Record what is computed of real cells."""
    folder = data / "pbc_dev"
    listed = datasets.pbc(folder, attributes=folder / "wbcatt_attributes.csv")
    some = listed[listed.groupby("label").cumcount() % 16 == 0].reset_index(drop=True)
    table = measure_cells(record, "pbc", some, folder)
    compare_cells(record, "pbc", table, metadata=["cell_size", "nucleus_shape", "granularity"])
    folder = data / "segwbc_d1"
    some = datasets.load("segwbc", folder).iloc[::7].head(40).reset_index(drop=True)
    measure_cells(record, "segwbc", some, folder)
    how = {"families": "default", "normalise": "macenko", "masks": "given"}
    measure_cells(record, "segwbc_normalised", some, folder, **how)
    segment_images(
        record, "segwbc", {Path(path).stem: read_pixels(path) for path in some["image"][::4]}
    )


def renamed(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Give a table the names of now: its columns, and text that names something."""
    out = table.rename(columns=dict(names))
    for name in out.columns.intersection(NAMING):
        out[name] = out[name].replace(dict(names))
    return out


def read_record(path: Path, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read the columns of a table, or the arrays of an archive, under the names of now."""
    if path.suffix == ".npz":
        with np.load(path) as box:
            return {names.get(name, name): box[name] for name in box.files}
    table = pd.read_parquet(path)
    left_out = [*LEFT_OUT, *(HASHES if names else ())]
    table = renamed(table, names).drop(columns=left_out, errors="ignore")
    if table.columns.has_duplicates:
        twice = sorted(set(table.columns[table.columns.duplicated()]))
        raise SystemExit(f"{path}: --renamed gives two columns one name: {', '.join(twice)}")
    return {str(name): table[name].to_numpy() for name in table.columns}


def differing(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mark the values that differ; two that are missing do not."""
    missing, gone = pd.isna(before), pd.isna(after)
    unequal = np.asarray(before != after, dtype=bool)
    return (unequal & ~(missing & gone)) | (missing != gone)


def largest_difference(before: np.ndarray, after: np.ndarray) -> float:
    """Take the largest difference of two arrays of numbers, where both are known."""
    if before.dtype.kind not in "iuf" or not before.size:
        return 0.0
    apart = np.abs(before.astype(np.float64) - after.astype(np.float64))
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0


def compare_files(
    before: Path, after: Path, names: Mapping[str, str]
) -> tuple[int, int, bool, list[str]]:
    """Compare two files: how many values, how many differ, whether all is the same, and notes."""
    was, now = read_record(before, names), read_record(after, {})
    if names:
        now = {name: values for name, values in now.items() if name not in HASHES}
    n_values = n_differ = 0
    largest = 0.0
    notes = []
    for name in was.keys() & now.keys():
        one, other = was[name], now[name]
        n_values += one.size
        if one.shape != other.shape or one.dtype != other.dtype:
            n_differ += one.size
            notes.append(
                f"{name} was {one.dtype} of {one.shape} and is {other.dtype} of {other.shape}"
            )
            continue
        n_differ += int(differing(one, other).sum())
        largest = max(largest, largest_difference(one, other))
    notes = [shorten(sorted(notes), 2)] if notes else []
    if [name for name in was if name in now] != [name for name in now if name in was]:
        notes.append("the columns are in another order")
    if largest:
        notes.insert(0, f"largest difference {largest:.3g}")
    changes = {"missing": sorted(was.keys() - now.keys()), "added": sorted(now.keys() - was.keys())}
    notes += [f"{len(some)} {how}: {shorten(some)}" for how, some in changes.items() if some]
    return n_values, n_differ, not (n_differ or notes), notes


def shorten(names: list[str], most: int = 5) -> str:
    """Write the first of many names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def files_of(folder: Path) -> Iterator[str]:
    """Name the tables and archives of a record, in order."""
    found = sorted(path.name for path in folder.glob("*") if path.suffix in (".npz", ".parquet"))
    if not found:
        raise SystemExit(f"{folder} holds no record")
    yield from found


def compare_records(before: Path, after: Path, names: Mapping[str, str]) -> bool:
    """Compare two records, print a line for each file, and say whether they are the same."""
    was, now = list(files_of(before)), list(files_of(after))
    totals = np.zeros(2, dtype=int)
    all_same = True
    for name in sorted({*was, *now}):
        if name not in was or name not in now:
            print(f"{name}: {'missing' if name in was else 'added'}")
            all_same = False
            continue
        n_values, n_differ, same, notes = compare_files(before / name, after / name, names)
        print("; ".join([f"{name}: {n_values} values, {n_differ} differ", *notes]))
        totals += n_values, n_differ
        all_same &= same
    print(f"together: {totals[0]} values, {totals[1]} differ")
    return all_same


def main(argv: list[str] | None = None) -> int:
    """Read the command line and do what it asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record", help="measure, and write what was found")
    one.add_argument("folder", type=Path, metavar="DIR", help="where to; new or empty")
    one.add_argument("--data", type=Path, help="real cells; without it only drawn ones")
    one = commands.add_parser("compare", help="compare two records value for value")
    one.add_argument("before", type=Path, metavar="DIR_BEFORE")
    one.add_argument("after", type=Path, metavar="DIR_AFTER")
    one.add_argument("--renamed", type=Path, help="JSON: names of before to names of now")
    args: Any = parser.parse_args(argv)
    if args.command == "compare":
        names = json.loads(args.renamed.read_text(encoding="utf-8")) if args.renamed else {}
        return 0 if compare_records(args.before, args.after, names) else 1
    record = Record(args.folder)
    # Sums of floats depend on how they are divided among threads.
    with threadpool_limits(1):
        record_drawn(record)
        if args.data:
            record_real(record, args.data.resolve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
