"""A result as a folder of shards: begun, continued where it stopped, completed.

``manifest.json`` is written first and says what was asked; ``cells/part-00000.parquet`` and so on
are the table, ``errors/part-00000.parquet`` and so on what could not be measured (the first part
has such a file always, the others where they have errors). Each file is whole or absent. That of
the cells is written last and counts the errors, so that a part is there when it is.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemafeat import __version__
from hemafeat._files import locked, write_whole
from hemafeat.extract._table.image import file_state
from hemafeat.extract._table.result import CELLS, ERRORS, MANIFEST, holds_nothing, read_manifest
from hemafeat.extract._table.run import Part, Run
from hemafeat.extract._table.settings import differences, digest
from hemafeat.extract._table.shard import Facts, Shard, common_quality, read_facts, with_quality

CELL_PARTS, ERROR_PARTS = "cells", "errors"

_OURS = re.compile(r"part-\d+\.parquet|\.part-\d+\.parquet\.\d+\.part")


@dataclass
class Counts:
    """What the shards of a result hold together."""

    n_cells: int = 0
    n_errors: int = 0
    n_failed: int = 0
    n_suspect: int = 0

    def add(self, facts: Facts) -> None:
        """Count a shard in."""
        self.n_cells += facts.n_cells
        self.n_errors += facts.n_errors
        self.n_failed += facts.n_failed
        self.n_suspect += facts.n_suspect


@dataclass
class Folder:
    """A result that is being written; made by `opened`.

    Attributes
    ----------
    path : Path
        The folder.
    asked : dict
        What was asked, see `hemafeat.extract._table.settings`.
    units : dict of str to str
        Unit of each feature.
    n_shards : int
        Shards it will hold when it is complete.
    counts : Counts
        What the shards found or written so far hold.
    changed, vanished : list of str
        Images of finished shards that were changed since, and that are no longer there.
    """

    path: Path
    asked: dict[str, Any]
    units: dict[str, str]
    n_shards: int
    counts: Counts = field(default_factory=Counts)
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    _quality: dict[int, list[list[str]]] = field(default_factory=dict)
    _kinds: dict[str, list[list[str]]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What was asked, in short."""
        return digest(self.asked)

    def file(self, kind: str, number: int) -> Path:
        """Where a shard is kept; names sort by number."""
        width = max(5, len(str(self.n_shards - 1)))
        return self.path / kind / f"part-{number:0{width}}.parquet"

    def missing(self, run: Run) -> list[int]:
        """Numbers of the shards that are yet to be measured; the others are counted."""

        def look(number: int) -> tuple[Facts | None, list[str], list[str]]:
            facts = self._whole(number)
            if facts is None or facts.retry:
                return None, [], []
            part = run.part(number, self.asked["shard_size"])
            return facts, *_changes(part, facts)

        wanted = []
        with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
            for number, (facts, changed, vanished) in enumerate(
                pool.map(look, range(self.n_shards))
            ):
                if facts is None or changed:
                    wanted.append(number)
                    self.changed += changed
                else:
                    self.vanished += vanished
                    self._count(facts)
        return wanted

    def _whole(self, number: int) -> Facts | None:
        facts = read_facts(self.file(CELL_PARTS, number))
        if facts is None or facts.asked != self.digest or facts.number != number:
            return None
        named = facts.n_errors or number == 0
        return facts if not named or self.file(ERROR_PARTS, number).is_file() else None

    def write(self, shard: Shard) -> None:
        """Put a shard there."""
        facts = shard.facts
        there, errors = (self.file(kind, facts.number) for kind in (CELL_PARTS, ERROR_PARTS))
        with self._room():
            if facts.n_errors or facts.number == 0:
                _write(errors, shard.errors)
            else:
                errors.unlink(missing_ok=True)
            _write(there, shard.cells)
        self._count(facts)

    def _count(self, facts: Facts) -> None:
        self.counts.add(facts)
        # All shards say the same as a rule: one list is kept for all that do.
        self._quality[facts.number] = self._kinds.setdefault(str(facts.quality), facts.quality)

    def complete(self) -> None:
        """Give all shards the same columns, and say that the result is whole."""
        kinds = {id(kind): kind for _, kind in sorted(self._quality.items())}
        common = common_quality(list(kinds.values()))
        with self._room():
            for number, quality in self._quality.items():
                if quality != common:
                    there = self.file(CELL_PARTS, number)
                    _write(there, with_quality(there, common))
            for kind in (CELL_PARTS, ERROR_PARTS):
                known = {self.file(kind, number) for number in range(self.n_shards)}
                for path in _ours(self.path / kind):
                    if path not in known:
                        path.unlink()
        self.say("complete")

    def say(self, state: str) -> None:
        """Write the manifest."""
        manifest: dict[str, Any] = {"hemafeat": __version__, "state": state}
        if state != "discarded":
            manifest |= {"shards": self.n_shards, "n_images": self.asked["images"]["number"]}
            manifest |= {"asked": self.asked, "units": self.units}
        if state == "complete":
            manifest |= {"n_cells": self.counts.n_cells, "n_errors": self.counts.n_errors}
        text = json.dumps(manifest, indent=1)
        with self._room():
            write_whole(self.path / MANIFEST, lambda aside: aside.write_text(text, "utf-8"))

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
                raise
            raise OSError(
                error.errno,
                f"no space left to write to {self.path}. What is there is whole and "
                f"{len(self._quality)} of {self.n_shards} shards are done; make room, run it again "
                "and it goes on from there",
            ) from None


@contextmanager
def opened(
    out: Path, asked: dict[str, Any], units: dict[str, str], n_shards: int, restart: bool
) -> Iterator[Folder]:
    """The folder of a result, to write to; no other process writes to it meanwhile.

    Raises
    ------
    FileExistsError
        It holds something else, or a result of other settings.
    OSError
        Another process writes to it, or it cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; a result needs a folder, .parquet or .csv")
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"another process is writing to {out}"):
        folder = Folder(out, asked, units, n_shards)
        for path in out.glob(f".{MANIFEST}.*.part"):
            path.unlink()
        there = read_manifest(out)
        if there is None and not holds_nothing(out):
            raise FileExistsError(f"{out} is not empty and holds no earlier result")
        discarded = there is not None and there.get("state") == "discarded"
        if there is not None and not restart and not discarded:
            _check_same(out, there, asked)
        if there is not None and (restart or discarded):
            # Said first: killed from here on, the next run finishes the removal.
            folder.say("discarded")
            _remove(out)
            there = None
        for kind in (CELL_PARTS, ERROR_PARTS):
            (out / kind).mkdir(exist_ok=True)
            for path in _ours(out / kind):
                if path.suffix == ".part":
                    path.unlink()
        if there is None:
            folder.say("running")
        yield folder


def _check_same(out: Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    how = "Give another folder, or restart=True (--restart) to measure everything anew"
    if "asked" not in there:
        raise FileExistsError(
            f"{out} holds a table that was saved whole and cannot be continued. {how}"
        )
    other = differences(there["asked"], asked)
    if other:
        raise FileExistsError(
            f"{out} holds the result of other settings: {'; '.join(other)}. {how}"
        )


def _changes(part: Part, facts: Facts) -> tuple[list[str], list[str]]:
    """Images that were changed since they were measured, and those that are no longer there."""
    masks = part.masks or [None] * len(part)
    changed, vanished = [], []
    for name, image, mask, then in zip(part.names, part.images, masks, facts.states, strict=True):
        now = file_state(image, mask)
        if now is None and then is not None:
            vanished.append(name)
        elif now is not None and (then is None or tuple(then) != now):
            changed.append(name)
    return changed, vanished


def _write(path: Path, data: bytes) -> None:
    write_whole(path, lambda aside: aside.write_bytes(data))


def _remove(out: Path) -> None:
    for kind in (CELL_PARTS, ERROR_PARTS):
        for path in _ours(out / kind):
            path.unlink()
    for name in (CELLS, ERRORS):
        (out / name).unlink(missing_ok=True)


def _ours(folder: Path) -> list[Path]:
    """Files of our naming, whole and half."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]
