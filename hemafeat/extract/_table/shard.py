"""A shard: the rows of one part of the images as a Parquet file that describes itself."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hemafeat._files import SEAL_KEY, UNSEALED, seal, seal_of
from hemafeat.extract._attributes import arrow_column, arrow_type
from hemafeat.extract._columns import family_units, feature_columns
from hemafeat.extract._family import Family
from hemafeat.extract._measured import n_fields, n_left_out, n_without_nucleus
from hemafeat.extract._table.errors import ERROR_COLUMNS, ErrorRow
from hemafeat.extract._table.fingerprint import versions
from hemafeat.extract._table.image import ImageResult, Normaliser, Segmenter, measure_image
from hemafeat.extract._table.part import BESIDE, IDENTITY, Part, assemble
from hemafeat.extract._table.run import Run

KEY = b"hemafeat"
"""Key of the description in the metadata of the Parquet file."""

ERROR_SCHEMA = pa.schema([(name, pa.string()) for name in ERROR_COLUMNS])

LOST = "worker"
"""Stage of an error that is due to the machine, not the image; such a shard is tried again."""

Types = dict[str, pa.DataType]

Quality = list[list[str]]
"""Name and type of each column of position and quality, in the order of the table."""


@dataclass
class ShardInfo:
    """Description of a shard, stored in the metadata of its file.

    Attributes
    ----------
    digest : str
        Digest of the fingerprint of the run, see `hemafeat.extract._table.fingerprint`.
    number : int
        Number of the shard, from 0 on.
    n_images, n_cells, n_errors : int
        Numbers of images, of rows, and of rows of errors.
    n_failed, n_suspect : int
        Numbers of images with an error, and of cells with a suspected segmentation failure.
    states : list
        State of the files of each image when it was read, see `image.file_state`.
    quality : list of (name, type)
        Columns of position and quality, of which the latter may differ from shard to shard.
    retry : bool
        Whether the next run measures the shard again.
    versions : dict of str to str
        Versions of the packages that measured it.
    n_left_out : int
        Number of cells that were found beside the central ones.
    n_fields : int
        Number of images of many cells of which only the central one was measured.
    n_without_nucleus : int
        Number of cells of given masks of which no column of the nucleus has a value.
    errors : str
        Seal of the file of errors; empty if earlier versions wrote it.
    """

    digest: str
    number: int
    n_images: int
    n_cells: int
    n_errors: int
    n_failed: int
    n_suspect: int
    states: list[list[int] | None]
    quality: Quality
    retry: bool
    versions: dict[str, str]
    n_left_out: int = 0
    n_fields: int = 0
    n_without_nucleus: int = 0
    errors: str = ""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the description of a file; None if the file is missing or damaged."""
        try:
            with open(path, "rb") as file:
                return cls.from_metadata(pq.read_metadata(file))
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return None

    @classmethod
    def from_metadata(cls, metadata: pq.FileMetaData) -> Self:
        """Read the description from the metadata of a file."""
        fields = json.loads(metadata.metadata[KEY])
        return cls(digest=fields.pop("asked"), **fields)

    def to_metadata(self) -> dict[bytes, bytes]:
        """Return the description as metadata of a Parquet file."""
        fields = asdict(self)
        # The key of the first version is kept, so that each version reads the files of the other.
        fields = {"asked": fields.pop("digest"), **fields}
        return {KEY: json.dumps(fields, separators=(",", ":")).encode()}


@dataclass(frozen=True)
class Shard:
    """Two Parquet files that are ready to be written, cells and errors, and their description."""

    info: ShardInfo
    cells: bytes
    errors: bytes


@dataclass(frozen=True)
class ShardMaker:
    """Measure parts of a run and make shards of them, in this process or on another machine.

    Instances are sent to other processes, so they must be possible to pickle.

    Attributes
    ----------
    families, segment, normalise, mask_kind
        As in `Run`.
    types : dict of str to DataType
        Type of each attribute of the images in every shard, also in one where it is missing
        throughout.
    digest : str
        Digest of the fingerprint of the run.
    """

    families: Mapping[str, Family]
    segment: Segmenter | None
    normalise: Normaliser | None
    types: Types
    digest: str
    mask_kind: str = "auto"

    @classmethod
    def of(cls, run: Run, digest: str = "") -> Self:
        """Return the maker of the shards of a run."""
        types = {name: arrow_type(run.image_table[name]) for name in run.attributes}
        return cls(run.families, run.segment, run.normalise, types, digest, run.mask_kind)

    def __call__(self, part: Part) -> Shard:
        """Measure a part, one image after the other, and return its shard."""
        return self.shard(part, self.measure(part, 0, len(part)))

    def measure(self, part: Part, start: int, stop: int) -> list[ImageResult]:
        """Measure the images `start` to `stop` of a part, one after the other."""
        masks = part.masks or [None] * len(part)
        return [
            measure_image(
                part.images[n],
                part.names[n],
                masks[n],
                self.families,
                self.segment,
                self.normalise,
                central=bool(part.central[n]),
                zoom=1.0 if part.zoom is None else float(part.zoom[n]),
                mask_kind=self.mask_kind,
            )
            for n in range(start, stop)
        ]

    def shard(self, part: Part, results: list[ImageResult]) -> Shard:
        """Return the shard of a part that was measured."""
        table = assemble(part, results, self.families)
        errors: list[ErrorRow] = table.attrs["errors"]
        suspect = table.get("quality__suspected_failure", pd.Series(dtype=bool))
        features = list(family_units(self.families, part.scale is not None))
        arrow = _arrow(table, features, self.types)
        columns = {
            name: arrow_column(pd.Series([row[name] for row in errors], dtype=object), pa.string())
            for name in ERROR_COLUMNS
        }
        error_file = _parquet(pa.table(columns, ERROR_SCHEMA))
        info = ShardInfo(
            self.digest,
            part.number,
            n_images=len(part),
            n_cells=len(table),
            n_errors=len(errors),
            n_failed=len({row["image"] for row in errors}),
            n_suspect=int(suspect.fillna(False).astype(bool).sum()),
            states=[None if result.state is None else list(result.state) for result in results],
            quality=[
                [field.name, str(field.type)]
                for field in arrow.schema
                if field.name.startswith(BESIDE)
            ],
            retry=any(row["stage"] == LOST for row in errors),
            versions=versions(),
            n_left_out=n_left_out(table) if part.central.all() else 0,
            n_fields=n_fields(table) if part.central.all() else 0,
            n_without_nucleus=n_without_nucleus(table) if self.segment is None else 0,
            errors=seal_of(error_file),
        )
        return Shard(info, _parquet(arrow, info.to_metadata()), error_file)


def error_rows(shard: Shard) -> list[ErrorRow]:
    """Return the rows of errors of a shard."""
    return list(pq.read_table(pa.BufferReader(shard.errors)).to_pylist())


def check_attributes(run: Run) -> None:
    """Check that the attributes of the images can be stored, before anything is measured.

    Raises
    ------
    hemafeat.datasets.DatasetError
        A column holds objects that cannot be stored as text.
    """
    _parquet(pa.table({name: arrow_column(run.image_table[name]) for name in run.attributes}))


def _arrow(table: pd.DataFrame, features: list[str], attribute_types: Types) -> pa.Table:
    """Convert a table of cells to the types that every shard of the run has."""
    types: Types = {name: pa.string() for name in IDENTITY}
    types |= {"cell": pa.int64(), "um_per_px": pa.float64()} | attribute_types
    head = table.iloc[:, : table.shape[1] - len(features)]
    columns = {str(name): arrow_column(head[name], types.get(name)) for name in head.columns}
    # Contiguous columns, which Arrow converts many times faster.
    values = np.ascontiguousarray(table.iloc[:, head.shape[1] :].to_numpy().T)
    for name, column in zip(features, values, strict=True):
        columns[name] = pa.array(column, pa.float64(), from_pandas=True)
    return pa.table(columns)


def _parquet(table: pa.Table, metadata: dict[bytes, bytes] | None = None) -> bytes:
    """Return a table as the bytes of a sealed Parquet file."""
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
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({**(metadata or {}), SEAL_KEY: UNSEALED})
    file = io.BytesIO(sink.getvalue())
    seal(file)
    return file.getvalue()


def with_quality(path: Path, quality: Quality) -> bytes:
    """Return the shard in a file with the quality columns of all shards; others are missing."""
    with open(path, "rb") as data, pq.ParquetFile(data) as file:
        info, table = ShardInfo.from_metadata(file.metadata), file.read()
    info.quality = quality
    return _parquet(_with_quality(table, quality), info.to_metadata())


def _with_quality(table: pa.Table, quality: Quality) -> pa.Table:
    names = [name for name in table.column_names if not name.startswith(BESIDE)]
    features = set(feature_columns(table.schema.empty_table().to_pandas()))
    columns: dict[str, Any] = {name: table[name] for name in names if name not in features}
    for name, type_name in quality:
        kind = pa.type_for_alias(type_name)
        present = name in table.column_names
        columns[name] = table[name].cast(kind) if present else pa.nulls(table.num_rows, kind)
    columns |= {name: table[name] for name in names if name in features}
    return pa.table(columns)


def common_quality(of_shards: Sequence[Quality]) -> Quality:
    """Return the quality columns of all shards, each where it first occurs, in a common type."""
    types: Types = {}
    for quality in of_shards:
        for name, type_name in quality:
            kind = pa.type_for_alias(type_name)
            if name in types and types[name] != kind:
                numbers = all(
                    pa.types.is_integer(k) or pa.types.is_floating(k) for k in (kind, types[name])
                )
                kind = pa.float64() if numbers else pa.string()
            types[name] = kind
    return [[name, str(kind)] for name, kind in types.items()]


def gather(shards: Iterable[Shard], units: dict[str, str]) -> pd.DataFrame:
    """Join shards to one table in memory, in the order of the images."""
    ordered = sorted(shards, key=lambda shard: shard.info.number)
    quality = common_quality([shard.info.quality for shard in ordered])
    cells = [_with_quality(pq.read_table(pa.BufferReader(s.cells)), quality) for s in ordered]
    errors = [pq.read_table(pa.BufferReader(shard.errors)) for shard in ordered]
    table = pa.concat_tables(cells).to_pandas()
    table.attrs["units"] = units
    table.attrs["errors"] = pa.concat_tables(errors).to_pylist()
    return table
