"""A result as a folder of shards that can be resumed.

``manifest.json`` is written first and holds the fingerprint of the run;
``cells/part-00000.parquet`` and so on are the table, ``errors/part-00000.parquet`` and so on its
errors (the first part always has such a file, the others if they have errors). Each file is whole
or absent. That of the cells is written last and names the seal of the errors, so a part is complete
if both files are there with the bytes that were written. Files that the run did not write are never
read, and never removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemafeat._files import NO_SPACE, check_seal, locked, write_whole
from hemafeat._machine import n_workers
from hemafeat.extract._measured import MEASURED
from hemafeat.extract._table.errors import ERROR_COLUMNS
from hemafeat.extract._table.fingerprint import differences, digest
from hemafeat.extract._table.image import file_state
from hemafeat.extract._table.part import Part
from hemafeat.extract._table.result import (
    CELL_COLUMNS,
    CELLS,
    CELLS_FOLDER,
    ERRORS,
    ERRORS_FOLDER,
    LOCK,
    MANIFEST,
    ManifestError,
    check_shard,
    is_own,
    part_file,
    part_files,
    read_manifest,
    write_manifest,
)
from hemafeat.extract._table.run import Run
from hemafeat.extract._table.shard import Quality, Shard, ShardInfo, common_quality, with_quality

TOTALS = (
    *("n_cells", "n_errors", "n_failed", "n_suspect", "n_left_out"),
    *("n_fields", "n_without_nucleus"),
)
"""Counts of a shard that are added up over a result."""

_RESTART = "Use another folder, or restart=True (--restart) to measure everything anew"


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
    damaged : list of str
        What is wrong with files of shards, or with the manifest.
    """

    path: Path
    fingerprint: dict[str, Any]
    units: dict[str, str]
    n_shards: int
    options: dict[str, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(TOTALS, 0)))
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    _quality: dict[int, Quality] = field(default_factory=dict)
    _distinct_quality: dict[str, Quality] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of the fingerprint."""
        return digest(self.fingerprint)

    def file(self, folder: str, number: int) -> Path:
        """Return the path of a part; names sort by number."""
        return part_file(self.path, folder, number, self.n_shards)

    def missing(self, run: Run) -> list[int]:
        """Return the numbers of the shards to be measured, and count the others."""

        def inspect(number: int) -> tuple[ShardInfo | None, list[str], list[str], str]:
            try:
                info = check_shard(self.path, number, self.n_shards, self.digest)
            except FileNotFoundError:
                return None, [], [], ""
            except (OSError, ValueError) as error:
                return None, [], [], str(error)
            if info.retry:
                return None, [], [], ""
            return info, *_changes(run.part(number, self.fingerprint["shard_size"]), info), ""

        missing = []
        with ThreadPoolExecutor(min(32, 2 * n_workers())) as pool:
            for number, (info, changed, vanished, fault) in enumerate(
                pool.map(inspect, range(self.n_shards))
            ):
                if fault:
                    self.damaged.append(fault)
                if info is None or changed:
                    missing.append(number)
                    self.changed += changed
                else:
                    self.vanished += vanished
                    self._count(info)
        return missing

    def write(self, shard: Shard) -> None:
        """Write a shard."""
        info = shard.info
        errors = self.file(ERRORS_FOLDER, info.number)
        with self._resumable():
            if info.n_errors or info.number == 0:
                _write(errors, shard.errors)
            else:
                _remove_sealed(errors)
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
        with self._resumable():
            for number, quality in self._quality.items():
                if quality != common:
                    path = self.file(CELLS_FOLDER, number)
                    _write(path, with_quality(path, common))
            for folder in (CELLS_FOLDER, ERRORS_FOLDER):
                expected = {self.file(folder, number) for number in range(self.n_shards)}
                for path in part_files(self.path / folder):
                    if path not in expected:
                        _remove_sealed(path)
        self.write_manifest("complete")

    def write_manifest(self, state: str) -> None:
        """Write the manifest; `state` is ``"running"``, ``"complete"`` or ``"discarded"``."""
        entries: dict[str, Any] = {"state": state}
        if state != "discarded":
            n_images = self.fingerprint["images"]["number"]
            entries |= {"shards": self.n_shards, "n_images": n_images}
            entries |= {"asked": self.fingerprint, "units": self.units, MEASURED: self.options}
        if state == "complete":
            entries |= {name: self.totals[name] for name in ("n_cells", "n_errors")}
        with self._resumable():
            write_manifest(self.path, entries)

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """Let errors of the system say what is complete."""
        try:
            yield
        except OSError as error:
            where = f"to write to {self.path}"
            reason = f"no space left {where}"
            if error.errno not in NO_SPACE:
                reason = f"{error.filename or self.path} cannot be written: {error.strerror}"
            raise OSError(
                error.errno,
                f"{reason}; {len(self._quality)} of {self.n_shards} shards are complete. "
                "Mend that and repeat the run to resume it",
            ) from None


def earlier_manifest(out: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest of an earlier run, and what is wrong with it.

    One that is damaged or missing is empty, but for the size of the shards if the folder has any.
    """
    try:
        manifest, fault = read_manifest(out), ""
    except ManifestError as error:
        if error.later:
            raise FileExistsError(str(error)) from None
        manifest, fault = None, str(error).split(". ")[0]
    if manifest is not None:
        return manifest, ""
    sizes = [info.n_images for info in map(ShardInfo.read, part_files(out / CELLS_FOLDER)) if info]
    if sizes and not fault:
        fault = f"{out / MANIFEST} is missing"
    # The last shard may be shorter; a single one is shorter than the usual size, or has it.
    return ({"asked": {"shard_size": max(sizes)}} if len(sizes) > 1 else {}), fault


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

    It has passed `check_target`.

    Raises
    ------
    FileExistsError
        The folder holds a result of other settings.
    OSError
        Another process is writing to the folder, or it is not writable.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK, f"another process is writing to {out}"):
        folder = Folder(out, fingerprint, units, n_shards, options)
        for pattern in (f".{MANIFEST}.*.part", f".{MANIFEST}.*.old"):
            for path in out.glob(pattern):
                path.unlink()
        manifest, fault = ({}, "") if restart else earlier_manifest(out)
        if restart or manifest.get("state") == "discarded":
            # Marked first, so that the next run completes a removal that is interrupted.
            _make_way(out / MANIFEST)
            folder.write_manifest("discarded")
            _remove(out)
            manifest = {}
        elif fault:
            _check_shards(out, fault, folder.digest)
            folder.damaged.append(fault)
            _make_way(out / MANIFEST)
            manifest = {}
        elif manifest:
            _check_same(out, manifest, fingerprint)
        for name in (CELLS_FOLDER, ERRORS_FOLDER):
            if (out / name).is_file():
                raise FileExistsError(
                    f"{out / name} is a file, where a folder belongs: move it away"
                )
            (out / name).mkdir(exist_ok=True)
            for path in part_files(out / name):
                if path.suffix != ".parquet":
                    path.unlink()
        if not manifest:
            folder.write_manifest("running")
        yield folder


def _make_way(path: Path) -> None:
    """Remove an empty folder where the manifest belongs.

    Raises
    ------
    FileExistsError
        The folder is not empty.
    """
    if path.is_dir() and not path.is_symlink():
        try:
            path.rmdir()
        except OSError:
            raise FileExistsError(
                f"{path} is a folder with files, where a file belongs: move it away"
            ) from None


def _check_shards(out: Path, fault: str, asked: str) -> None:
    """Refuse a folder without a sound manifest if it may hold the result of other settings."""
    if (out / CELLS).exists():
        raise FileExistsError(
            f"{fault}; {out} holds a table that was saved as a whole and cannot be mended. "
            f"{_RESTART}"
        )
    for path in part_files(out / CELLS_FOLDER):
        info = ShardInfo.read(path)
        if info is not None and info.digest != asked:
            raise FileExistsError(
                f"{fault}, and {path} was measured with other settings (shard_size is one). "
                f"{_RESTART}"
            )


def _check_same(out: Path, manifest: dict[str, Any], fingerprint: dict[str, Any]) -> None:
    if "asked" not in manifest:
        raise FileExistsError(
            f"{out} holds a table that was saved as a whole and cannot be resumed. {_RESTART}"
        )
    phrases = differences(manifest["asked"], fingerprint)
    if phrases:
        raise FileExistsError(
            f"{out} holds the result of other settings: {'; '.join(phrases)}. {_RESTART}"
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
    """Remove the files of a result; files of other names stay."""
    for name in (CELLS_FOLDER, ERRORS_FOLDER):
        for path in part_files(out / name):
            if path.is_file() or path.is_symlink():
                path.unlink()
    for name, columns in ((CELLS, CELL_COLUMNS), (ERRORS, set(ERROR_COLUMNS))):
        if (out / name).is_file() and is_own(out / name, columns):
            (out / name).unlink()


def _remove_sealed(path: Path) -> None:
    """Remove a file of an earlier run; one without our seal is not ours."""
    with suppress(OSError, ValueError):
        if check_seal(path) is not None:
            path.unlink()
