"""Record the values that the package computes, and compare two records.

    python benchmarks/unchanged.py record BEFORE [--data FOLDER]
    python benchmarks/unchanged.py record AFTER [--data FOLDER]
    python benchmarks/unchanged.py compare BEFORE AFTER [--renamed NAMES.json]

A refactoring must not change a value: make one record before and one after it. `record` writes one
file for each table, and needs some minutes, more if kernels are not compiled yet. FOLDER holds real
cells (`pbc_dev`, `segwbc_d1`); without it only drawn cells are measured:

- images: the paths of drawn and real images, with a hash of the pixels;
- cells: every family of features, outlined by `contours`, with units and errors, and the default
  families of a drawn cohort and of stain-normalised cells in given masks;
- segments: the label images and quality of `unet` and `best`;
- models: a comparison of models on cells, with every table of it;
- patients: the same on a drawn cohort, with the contributions of the cells.

`compare` prints one line for each file and exits with 1 if anything differs. Values are the same if
they have the same type and are equal or both missing. NAMES.json is an object that maps names
before to names after: columns, models, families, and arrays of the segments.

Times (`seconds`) and versions of packages (`versions`, `version`) are not recorded. The hash of the
input of a comparison (`fingerprint`) depends on names of columns; `--renamed` leaves it out.
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
"""Columns of hashes that change with the names of columns."""

NAMING = ("array", "column", "family", "mask", "metric", "model", "model_a", "model_b")
"""Columns whose values are names to which `--renamed` applies."""

MODELS = ("logistic", "svc", "random_forest", "xgboost")
TABLES = ("results", "predictions", "differences", "importances", "errors")


class Record:
    """A folder of tables and arrays, with paths of images relative to their data set.

    Parameters
    ----------
    folder : path
        Created if it does not exist; it must be empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(f"{folder} is not empty: a record needs a folder of its own")

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Write a table without the columns that differ from run to run."""
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
    """Hash the pixels, whatever the compression of the file."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def strip_folder(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Make the paths in `folder` relative to it."""
    out = table.copy()
    for name in out.columns:
        if not pd.api.types.is_numeric_dtype(out[name].dtype):
            out[name] = [
                value.replace(f"{folder}/", "") if isinstance(value, str) else value
                for value in out[name]
            ]
    return out


def measure_cells(
    record: Record, name: str, image_table: pd.DataFrame, folder: Path, **options: Any
) -> pd.DataFrame:
    """Record the images of a data set and the features of their cells; return the features."""
    hashes = [hash_pixels(read_pixels(path)) for path in image_table["image"]]
    record.write(f"images_{name}", strip_folder(image_table, folder).assign(pixels=hashes))
    options = {"segmenter": "contours", "families": "all", **options}
    table = extract.table(image_table, progress=False, **options)
    units = extract.units(table).items()
    errors = strip_folder(extract.errors(table), folder)
    table = strip_folder(table, folder)
    record.write(f"cells_{name}", table)
    record.write(f"cells_{name}_units", pd.DataFrame(units, columns=["column", "unit"]))
    record.write(f"cells_{name}_errors", errors)
    return table


def segment_images(record: Record, name: str, images: Mapping[str, np.ndarray]) -> None:
    """Record the label images of `unet` and `best`, and the quality columns."""
    arrays: dict[str, np.ndarray] = {}
    quality = []
    for image_name, image in images.items():
        for segmenter in (segment.unet, segment.best):
            masks = segmenter(image)
            arrays[f"{segmenter.__name__}_{image_name}_cell"] = masks.cell
            arrays[f"{segmenter.__name__}_{image_name}_nucleus"] = masks.nucleus
            rows = pd.DataFrame(dict(masks.quality))
            rows.insert(0, "image", image_name)
            rows.insert(0, "model", segmenter.__name__)
            quality.append(rows)
    record.write_arrays(f"segments_{name}", arrays)
    record.write(f"segments_{name}_quality", pd.concat(quality, ignore_index=True))


def write_comparison(record: Record, name: str, comparison: evaluate.Comparison) -> None:
    """Record every table of a comparison, its confusion matrices and its protocol."""
    for part in TABLES:
        record.write(f"{name}_{part}", getattr(comparison, part))
    record.write(f"{name}_summary", comparison.summary().reset_index())
    tables = {"confusion": comparison.confusion, "per_class": comparison.per_class}
    for part, table_of in tables.items():
        rows = [table_of(model).reset_index().assign(model=model) for model in comparison.models]
        record.write(f"{name}_{part}", pd.concat(rows, ignore_index=True))
    facts = {
        "classes": ", ".join(comparison.classes),
        "leaky": str(comparison.leaky),
        "protocol": comparison.protocol,
        "transductive": ", ".join(comparison.transductive),
    }
    record.write(f"{name}_facts", pd.DataFrame(facts.items(), columns=["fact", "value"]))


def compare_cells(
    record: Record, name: str, table: pd.DataFrame, metadata: Iterable[str] = ()
) -> None:
    """Record a comparison of models on cells."""
    comparison = evaluate.compare(
        list(MODELS),
        table,
        n_splits=3,
        metadata=list(metadata),
        rare="drop",
        n_boot=200,
        random_state=0,
        progress=False,
    )
    write_comparison(record, f"models_{name}", comparison)


def compare_patients(record: Record, name: str, table: pd.DataFrame) -> None:
    """Record a comparison of every model of patients that needs no Keras."""
    comparison = evaluate.compare_patients(
        None, table, n_splits=3, n_boot=200, random_state=0, progress=False
    )
    write_comparison(record, f"patients_{name}", comparison)
    record.write(f"patients_{name}_patients", comparison.patients)
    record.write(f"patients_{name}_verdicts", comparison.verdicts)
    table_of = pipelines.PatientTable(["mean", "sd", "p90", "min", "max"])
    rows = pipelines.bags(table, label="label")
    frame = table_of.set_output(transform="pandas").fit_transform(rows)
    record.write(f"patients_{name}_table", frame)


def record_drawn(record: Record) -> None:
    """Record the values of drawn cells, drawn fields and drawn patients."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        image_table = datasets.drawn(folder / "cells", n_images=60, random_state=0, progress=False)
        table = measure_cells(record, "drawn", image_table, folder / "cells")
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
    """Record the values of real cells."""
    folder = data / "pbc_dev"
    image_table = datasets.pbc(folder, attributes=folder / "wbcatt_attributes.csv")
    sample = image_table[image_table.groupby("label").cumcount() % 16 == 0].reset_index(drop=True)
    table = measure_cells(record, "pbc", sample, folder)
    compare_cells(record, "pbc", table, metadata=["cell_size", "nucleus_shape", "granularity"])
    folder = data / "segwbc_d1"
    sample = datasets.load("segwbc", folder).iloc[::7].head(40).reset_index(drop=True)
    measure_cells(record, "segwbc", sample, folder)
    options = {"families": "default", "normalise": "macenko", "masks": "given"}
    measure_cells(record, "segwbc_normalised", sample, folder, **options)
    segment_images(
        record, "segwbc", {Path(path).stem: read_pixels(path) for path in sample["image"][::4]}
    )


def rename(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Rename the columns of a table, and the names among its values."""
    out = table.rename(columns=dict(names))
    for name in out.columns.intersection(NAMING):
        out[name] = out[name].replace(dict(names))
    return out


def read_record(path: Path, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read the columns of a table, or the arrays of an archive, under their names after."""
    if path.suffix == ".npz":
        with np.load(path) as box:
            return {names.get(name, name): box[name] for name in box.files}
    table = pd.read_parquet(path)
    left_out = [*LEFT_OUT, *(HASHES if names else ())]
    table = rename(table, names).drop(columns=left_out, errors="ignore")
    if table.columns.has_duplicates:
        twice = sorted(set(table.columns[table.columns.duplicated()]))
        raise SystemExit(f"{path}: --renamed gives two columns one name: {', '.join(twice)}")
    return {str(name): table[name].to_numpy() for name in table.columns}


def mark_differences(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mark the values that differ; two missing values do not."""
    missing_before, missing_after = pd.isna(before), pd.isna(after)
    unequal = np.asarray(before != after, dtype=bool)
    return (unequal & ~(missing_before & missing_after)) | (missing_before != missing_after)


def largest_difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the largest difference of two arrays of numbers."""
    if before.dtype.kind not in "iuf" or not before.size:
        return 0.0
    apart = np.abs(before.astype(np.float64) - after.astype(np.float64))
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0


def compare_files(
    before: Path, after: Path, names: Mapping[str, str]
) -> tuple[int, int, bool, list[str]]:
    """Compare two files; return the numbers of values and of differences, "same", and notes."""
    was, now = read_record(before, names), read_record(after, {})
    if names:
        now = {name: values for name, values in now.items() if name not in HASHES}
    n_values = n_differ = 0
    largest = 0.0
    notes = []
    for name in was.keys() & now.keys():
        old, new = was[name], now[name]
        n_values += old.size
        if old.shape != new.shape or old.dtype != new.dtype:
            n_differ += old.size
            notes.append(f"{name} was {old.dtype} of {old.shape} and is {new.dtype} of {new.shape}")
            continue
        n_differ += int(mark_differences(old, new).sum())
        largest = max(largest, largest_difference(old, new))
    notes = [shorten(sorted(notes), 2)] if notes else []
    if [name for name in was if name in now] != [name for name in now if name in was]:
        notes.append("the columns are in another order")
    if largest:
        notes.insert(0, f"largest difference {largest:.3g}")
    changes = {"missing": sorted(was.keys() - now.keys()), "added": sorted(now.keys() - was.keys())}
    notes += [f"{len(group)} {what}: {shorten(group)}" for what, group in changes.items() if group]
    return n_values, n_differ, not (n_differ or notes), notes


def shorten(names: list[str], most: int = 5) -> str:
    """Join the first few names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def files_of(folder: Path) -> Iterator[str]:
    """Yield the names of the tables and archives of a record, in order."""
    names = sorted(path.name for path in folder.glob("*") if path.suffix in (".npz", ".parquet"))
    if not names:
        raise SystemExit(f"{folder} does not hold a record")
    yield from names


def compare_records(before: Path, after: Path, names: Mapping[str, str]) -> bool:
    """Compare two records, print a line for each file, and return whether they are the same."""
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
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("record", help="compute the values and write them")
    command.add_argument("folder", type=Path, metavar="DIR", help="folder to write; new or empty")
    command.add_argument("--data", type=Path, help="real cells; by default only drawn ones")
    command = commands.add_parser("compare", help="compare two records value for value")
    command.add_argument("before", type=Path, metavar="DIR_BEFORE")
    command.add_argument("after", type=Path, metavar="DIR_AFTER")
    command.add_argument("--renamed", type=Path, help="JSON: names before to names after")
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
