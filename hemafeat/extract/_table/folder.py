"""A result as a folder of shards that can be resumed.

``manifest.json`` is written first and holds the fingerprint of the run;
``cells/part-00000.parquet`` and so on are the table, ``errors/part-00000.parquet`` and so on its
errors (the first part always has such a file, the others if they have errors). Each file is whole
or absent. That of the cells is written last and counts the errors, so a part is complete if that
file exists.
"""

from __future__ import annotations

import errno
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemafeat import __version__
from hemafeat._files import locked, write_whole
from hemafeat._machine import n_workers
from hemafeat.extract._measured import MEASURED
from hemafeat.extract._table.fingerprint import differences, digest
from hemafeat.extract._table.image import file_state
from hemafeat.extract._table.part import Part
from hemafeat.extract._table.result import (
    CELLS,
    CELLS_FOLDER,
    ERRORS,
    ERRORS_FOLDER,
    MANIFEST,
    check_target,
    read_manifest,
)
from hemafeat.extract._table.run import Run
from hemafeat.extract._table.shard import Quality, Shard, ShardInfo, common_quality, with_quality

TOTALS = ("n_cells", "n_errors", "n_failed", "n_suspect", "n_left_out")
"""Counts of a shard that are added up over a result."""

_PART_FILE = re.compile(r"part-\d+\.parquet|\.part-\d+\.parquet\.\d+\.part")


@dataclass
class Folder:
    """A result that is being written; opened by `open_folder`.

    Attributes
    ----------
    path : Path
        The folder.
    fingerprint : dict
        Fingerprint of the run.
    units : dict of str to str
        Unit of each feature.
    n_shards : int
        Number of shards of the complete result.
    options : dict of str to str
        How the cells are measured, see `hemafeat.extract.measured`.
    totals : Counter
        Sums of `TOTALS` over the shards that are complete.
    changed, vanished : list of str
        Images of complete shards that have changed since, and that no longer exist.
    """

    path: Path
    fingerprint: dict[str, Any]
    units: dict[str, str]
    n_shards: int
    options: dict[str, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(TOTALS, 0)))
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    _quality: dict[int, Quality] = field(default_factory=dict)
    _distinct_quality: dict[str, Quality] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of the fingerprint."""
        return digest(self.fingerprint)

    def file(self, folder: str, number: int) -> Path:
        """Return the path of a part; names sort by number."""
        width = max(5, len(str(self.n_shards - 1)))
        return self.path / folder / f"part-{number:0{width}}.parquet"

    def missing(self, run: Run) -> list[int]:
        """Return the numbers of the shards to be measured, and count the others."""

        def inspect(number: int) -> tuple[ShardInfo | None, list[str], list[str]]:
            info = self._complete(number)
            if info is None or info.retry:
                return None, [], []
            return info, *_changes(run.part(number, self.fingerprint["shard_size"]), info)

        missing = []
        with ThreadPoolExecutor(min(32, 2 * n_workers())) as pool:
            for number, (info, changed, vanished) in enumerate(
                pool.map(inspect, range(self.n_shards))
            ):
                if info is None or changed:
                    missing.append(number)
                    self.changed += changed
                else:
                    self.vanished += vanished
                    self._count(info)
        return missing

    def _complete(self, number: int) -> ShardInfo | None:
        """Return the description of a shard; None if it is incomplete or of another run."""
        info = ShardInfo.read(self.file(CELLS_FOLDER, number))
        if info is None or info.digest != self.digest or info.number != number:
            return None
        if (info.n_errors or number == 0) and not self.file(ERRORS_FOLDER, number).is_file():
            return None
        return info

    def write(self, shard: Shard) -> None:
        """Write a shard."""
        info = shard.info
        errors = self.file(ERRORS_FOLDER, info.number)
        with self._full_disk_explained():
            if info.n_errors or info.number == 0:
                _write(errors, shard.errors)
            else:
                errors.unlink(missing_ok=True)
            _write(self.file(CELLS_FOLDER, info.number), shard.cells)
        self._count(info)

    def _count(self, info: ShardInfo) -> None:
        self.totals.update({name: getattr(info, name) for name in TOTALS})
        # Nearly all shards have the same columns: one list is kept for all of them.
        self._quality[info.number] = self._distinct_quality.setdefault(
            str(info.quality), info.quality
        )

    def complete(self) -> None:
        """Give all shards the same columns, and mark the result as complete."""
        distinct = {id(quality): quality for _, quality in sorted(self._quality.items())}
        common = common_quality(list(distinct.values()))
        with self._full_disk_explained():
            for number, quality in self._quality.items():
                if quality != common:
                    path = self.file(CELLS_FOLDER, number)
                    _write(path, with_quality(path, common))
            for folder in (CELLS_FOLDER, ERRORS_FOLDER):
                expected = {self.file(folder, number) for number in range(self.n_shards)}
                for path in _part_files(self.path / folder):
                    if path not in expected:
                        path.unlink()
        self.write_manifest("complete")

    def write_manifest(self, state: str) -> None:
        """Write the manifest; `state` is ``"running"``, ``"complete"`` or ``"discarded"``."""
        manifest: dict[str, Any] = {"hemafeat": __version__, "state": state}
        if state != "discarded":
            n_images = self.fingerprint["images"]["number"]
            manifest |= {"shards": self.n_shards, "n_images": n_images}
            manifest |= {"asked": self.fingerprint, "units": self.units, MEASURED: self.options}
        if state == "complete":
            manifest |= {name: self.totals[name] for name in ("n_cells", "n_errors")}
        text = json.dumps(manifest, indent=1)
        with self._full_disk_explained():
            write_whole(self.path / MANIFEST, lambda aside: aside.write_text(text, "utf-8"))

    @contextmanager
    def _full_disk_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
                raise
            raise OSError(
                error.errno,
                f"no space left to write to {self.path}; {len(self._quality)} of {self.n_shards} "
                "shards are complete. Free some space and repeat the run to resume it",
            ) from None


@contextmanager
def open_folder(
    out: Path,
    fingerprint: dict[str, Any],
    units: dict[str, str],
    n_shards: int,
    restart: bool,
    options: dict[str, str],
) -> Iterator[Folder]:
    """Open the folder of a result for writing, and keep other processes from writing to it.

    Raises
    ------
    FileExistsError
        The folder holds something else, or a result of other settings.
    OSError
        Another process is writing to the folder, or it is not writable.
    """
    check_target(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"another process is writing to {out}"):
        folder = Folder(out, fingerprint, units, n_shards, options)
        for path in out.glob(f".{MANIFEST}.*.part"):
            path.unlink()
        manifest = read_manifest(out)
        discarded = manifest is not None and manifest.get("state") == "discarded"
        if manifest is not None and not restart and not discarded:
            _check_same(out, manifest, fingerprint)
        if manifest is not None and (restart or discarded):
            # Marked first, so that the next run completes a removal that is interrupted.
            folder.write_manifest("discarded")
            _remove(out)
            manifest = None
        for name in (CELLS_FOLDER, ERRORS_FOLDER):
            (out / name).mkdir(exist_ok=True)
            for path in _part_files(out / name):
                if path.suffix == ".part":
                    path.unlink()
        if manifest is None:
            folder.write_manifest("running")
        yield folder


def _check_same(out: Path, manifest: dict[str, Any], fingerprint: dict[str, Any]) -> None:
    advice = "Use another folder, or restart=True (--restart) to measure everything anew"
    if "asked" not in manifest:
        raise FileExistsError(
            f"{out} holds a table that was saved as a whole and cannot be resumed. {advice}"
        )
    phrases = differences(manifest["asked"], fingerprint)
    if phrases:
        raise FileExistsError(
            f"{out} holds the result of other settings: {'; '.join(phrases)}. {advice}"
        )


def _changes(part: Part, info: ShardInfo) -> tuple[list[str], list[str]]:
    """Return the images that changed since they were measured, and those that no longer exist."""
    masks = part.masks or [None] * len(part)
    changed, vanished = [], []
    for name, image, mask, then in zip(part.names, part.images, masks, info.states, strict=True):
        now = file_state(image, mask)
        if now is None and then is not None:
            vanished.append(name)
        elif now is not None and (then is None or tuple(then) != now):
            changed.append(name)
    return changed, vanished


def _write(path: Path, data: bytes) -> None:
    write_whole(path, lambda aside: aside.write_bytes(data))


def _remove(out: Path) -> None:
    for name in (CELLS_FOLDER, ERRORS_FOLDER):
        for path in _part_files(out / name):
            path.unlink()
    for name in (CELLS, ERRORS):
        (out / name).unlink(missing_ok=True)


def _part_files(folder: Path) -> list[Path]:
    """Return the files of parts in a folder, whole or half-written."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _PART_FILE.fullmatch(path.name)]
