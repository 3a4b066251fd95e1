"""One shard: the rows of a part as the bytes of a Parquet file that says what it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hemafeat.extract._columns import feature_columns
from hemafeat.extract._table.image import Error, Outcome, Work
from hemafeat.extract._table.run import IDENTITY, Part, Rows, assemble

KEY = b"hemafeat"
"""Name under which a file says what it is."""

ERRORS = pa.schema([(name, pa.string()) for name in ("image", "stage", "error", "message")])

LOST = "worker"
"""Stage of an error that is due to the machine, not the image; such a shard is tried again."""

Types = dict[str, pa.DataType]


@dataclass
class Facts:
    """What a shard says of itself.

    Attributes
    ----------
    asked : str
        The digest of what was asked.
    number : int
        Which shard.
    n_images, n_cells, n_errors, n_failed, n_suspect : int
        Images it holds, rows, errors, images with an error, cells that may be outlined wrongly.
    states : list
        Size and time of change of each file when it was read; None where there is no file.
    quality : list of (name, type)
        The columns a segmenter may add to, in the order of the table.
    retry : bool
        Whether it is to be measured again by the next run.
    versions : dict
        Versions it was measured with.
    """

    asked: str
    number: int
    n_images: int
    n_cells: int
    n_errors: int
    n_failed: int
    n_suspect: int
    states: list[list[int] | None]
    quality: list[list[str]]
    retry: bool
    versions: dict[str, str]


@dataclass(frozen=True)
class Shard:
    """A shard that is ready to be written: two files, and what they say."""

    facts: Facts
    cells: bytes
    errors: bytes


@dataclass(frozen=True)
class Task:
    """How to make a shard of a part, here or on another machine."""

    work: Work
    types: Types
    asked: str

    def __call__(self, part: Part) -> Shard:
        """Measure a part, one image after the other."""
        return self.shard(part, part.measure(self.work, 0, len(part)))

    def shard(self, part: Part, outcomes: list[Outcome]) -> Shard:
        """The shard of a part that was measured."""
        from hemafeat.extract._table.settings import versions

        rows = assemble(self.work, part, outcomes)
        table = arrow(rows, self.types)
        failed = {error["image"] for error in rows.errors}
        suspect = rows.head.get("quality__suspected_failure", pd.Series(dtype=bool))
        facts = Facts(
            self.asked,
            part.number,
            len(part),
            table.num_rows,
            len(rows.errors),
            len(failed),
            int(suspect.fillna(False).astype(bool).sum()),
            [None if outcome.state is None else list(outcome.state) for outcome in outcomes],
            [
                [field.name, str(field.type)]
                for field in table.schema
                if field.name.startswith("quality__")
            ],
            any(error["stage"] == LOST for error in rows.errors),
            versions(),
        )
        return Shard(facts, _bytes(table, facts), error_bytes(rows.errors))


def attribute_types(listed: pd.DataFrame, attributes: Sequence[str]) -> Types:
    """The type of each attribute in every shard, also in one where it is missing throughout."""
    return {name: _type(listed[name]) for name in attributes}


def _type(values: pd.Series) -> pa.DataType:
    """The type of a column; text, where it is none that every reader of Parquet has."""
    try:
        kind = pa.array(values, from_pandas=True).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    simple = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return kind if simple or pa.types.is_temporal(kind) else pa.string()


def arrow(rows: Rows, types: Types) -> pa.Table:
    """The rows with the columns and types that every shard of the run has."""
    known: Types = {name: pa.string() for name in IDENTITY}
    known |= {"cell": pa.int64(), "um_per_px": pa.float64()} | types
    columns: dict[str, pa.Array] = {}
    for name in rows.head.columns:
        columns[str(name)] = _column(rows.head[name], known.get(name))
    planes = np.ascontiguousarray(rows.features.T)
    for name, values in zip(rows.names, planes, strict=True):
        columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns)


def _column(values: pd.Series, kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        kind = _type(values)
    if pa.types.is_string(kind):
        texts = [None if pd.isna(value) else str(value) for value in values]
        return pa.array(texts, kind)
    return pa.array(values, from_pandas=True).cast(kind)


def error_bytes(errors: list[Error]) -> bytes:
    """The table of errors as a Parquet file."""
    return _written(pa.Table.from_pylist(errors, ERRORS))


def _bytes(table: pa.Table, facts: Facts) -> bytes:
    return _written(table, {KEY: json.dumps(asdict(facts), separators=(",", ":")).encode()})


def _written(table: pa.Table, said: dict[bytes, bytes] | None = None) -> bytes:
    numbers = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
    sink = pa.BufferOutputStream()
    # Features hardly repeat: a dictionary and the extremes of each would only swell the file, of
    # whose size the description of a thousand columns is a good part.
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=texts,
        use_byte_stream_split=numbers,
        write_statistics=texts,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(said or {})
    return bytes(sink.getvalue())


def read_facts(path: Path) -> Facts | None:
    """What a shard says of itself; None where there is no whole one."""
    try:
        return _facts(pq.read_metadata(path))
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None


def _facts(metadata: pq.FileMetaData) -> Facts:
    return Facts(**json.loads(metadata.metadata[KEY]))


def with_quality(source: Any, quality: list[list[str]]) -> bytes:
    """The shard in a file with the quality columns of all shards; those it lacks are missing."""
    with pq.ParquetFile(source) as file:
        facts, table = _facts(file.metadata), file.read()
    facts.quality = quality
    return _bytes(_with_quality(table, quality), facts)


def _with_quality(table: pa.Table, quality: list[list[str]]) -> pa.Table:
    names = [name for name in table.column_names if not name.startswith("quality__")]
    features = set(feature_columns(table.schema.empty_table().to_pandas()))
    columns: dict[str, Any] = {name: table[name] for name in names if name not in features}
    for name, text in quality:
        kind = pa.type_for_alias(text)
        known = name in table.column_names
        columns[name] = table[name].cast(kind) if known else pa.nulls(table.num_rows, kind)
    columns |= {name: table[name] for name in names if name in features}
    return pa.table(columns)


def gathered(shards: Iterable[Shard], units: dict[str, str]) -> pd.DataFrame:
    """The table of all shards in memory, with its units and errors, in the order of the images."""
    known = sorted(shards, key=lambda shard: shard.facts.number)
    common = common_quality([shard.facts.quality for shard in known])
    tables = [_with_quality(pq.read_table(pa.BufferReader(s.cells)), common) for s in known]
    failures = [pq.read_table(pa.BufferReader(shard.errors)) for shard in known]
    table = pa.concat_tables(tables).to_pandas()
    table.attrs["units"] = units
    table.attrs["errors"] = pa.concat_tables(failures).to_pylist()
    return table


def common_quality(several: Sequence[list[list[str]]]) -> list[list[str]]:
    """The quality columns of a table, of those of its shards: each where it first occurs."""
    found: dict[str, pa.DataType] = {}
    for columns in several:
        for name, text in columns:
            kind = pa.type_for_alias(text)
            if name in found and found[name] != kind:
                numbers = all(
                    pa.types.is_integer(k) or pa.types.is_floating(k) for k in (kind, found[name])
                )
                kind = pa.float64() if numbers else pa.string()
            found[name] = kind
    return [[name, str(kind)] for name, kind in found.items()]
