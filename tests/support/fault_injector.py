"""Hurt results at random, and check that nothing is lost and nothing wrong is read.

`run` kills runs, flips bits, breaks manifests, adds files and fills the disk, as long as it is
given. After each fault a result is either read with its values or refused in words, and the same
call makes it whole again: byte for byte that of an undisturbed run.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pandas as pd

from hemafeat import extract
from support.shard_work import noise

FAMILIES = ["relation"]
SHARD_SIZE = 4
N_IMAGES = 48
PATIENCE = 60.0
"""Seconds after which a process that was killed must have taken its workers with it."""

MANIFESTS = (b"", b"null", b"[]", b"{}", b"3", b'{"hemafeat": "0.1.0", "sta', b"\x00\xff\x80", None)
"""Contents in place of a manifest; None for a folder."""

STRAY = (
    "cells/part-00000 (1).parquet",
    "cells/._part-00000.parquet",
    "cells/part-99999.parquet",
    "cells/all.parquet",
    "cells/sub/part-00000.parquet",
    "errors/copy.parquet",
    "notes.txt~",
)
"""Copies of a part, under names that others give."""


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of every file below a folder but the lock."""
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    paths.pop(".lock", None)
    return {name: path.read_bytes() for name, path in sorted(paths.items())}


def flip_bit(path: Path, rng: random.Random) -> int:
    """Flip a random bit of a file and return its position."""
    data = bytearray(path.read_bytes())
    position = rng.randrange(8 * len(data))
    data[position // 8] ^= 1 << position % 8
    path.write_bytes(data)
    return position


class Injector:
    """Apply faults to copies of a result, and check what becomes of them."""

    def __init__(self, root: Path, random_state: int) -> None:
        self.root, self.rng, self.counts = root, random.Random(random_state), Counter[str]()
        listed = noise(root / "images", N_IMAGES)
        listed["age"] = range(N_IMAGES)
        self.images = root / "images.csv"
        listed.to_csv(self.images, index=False)
        self.whole, self.hurt = root / "whole", root / "hurt"
        self.measure(self.whole)
        self.expected = contents(self.whole)
        self.table = extract.load(self.whole)
        self.file = root / "table.parquet"
        extract.save(self.table, self.file)
        self.saved = root / "saved"
        extract.save(self.table, self.saved)

    def measure(self, out: Path, **options: object) -> extract.Extraction:
        """Measure the images into a folder."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return extract.stream(
                self.images, out, families=FAMILIES, shard_size=SHARD_SIZE, n_jobs=2, **options
            )

    def copy(self) -> Path:
        """Return a fresh copy of the undisturbed result."""
        shutil.rmtree(self.hurt, ignore_errors=True)
        shutil.copytree(self.whole, self.hurt)
        return self.hurt

    def check_same(self, table: pd.DataFrame) -> None:
        """Check that a table has the values and errors of an undisturbed run."""
        pd.testing.assert_frame_equal(table, self.table, check_exact=True)
        pd.testing.assert_frame_equal(extract.errors(table), extract.errors(self.table))
        assert extract.units(table) == extract.units(self.table)

    def check_read(self, path: Path, hurt: Path) -> None:
        """Check that a hurt result is read with its values, or refused naming the file."""
        refusal = ""
        try:
            table = extract.load(path)
        except ValueError as error:
            refusal = str(error)
        if refusal:
            assert hurt.name in refusal, refusal
            self.counts["refused"] += 1
        else:
            self.check_same(table)
            self.counts["read with all values"] += 1

    def check_mended(self, *others: str) -> None:
        """Check that the same call makes the result whole, and leaves the files of others."""
        self.measure(self.hurt)
        found = contents(self.hurt)
        for name in others:
            assert name in found, f"{name} was removed"
            del found[name]
        assert found == self.expected
        self.check_same(extract.load(self.hurt))
        self.counts["mended"] += 1

    def flip_in_folder(self) -> None:
        """Flip a bit of any file of a finished result."""
        folder = self.copy()
        path = folder / self.rng.choice(sorted(self.expected))
        flip_bit(path, self.rng)
        self.check_read(folder, path)
        self.check_mended()

    def flip_in_file(self) -> None:
        """Flip a bit of a table that was written as a whole."""
        shutil.rmtree(self.hurt, ignore_errors=True)
        self.hurt.mkdir()
        if self.rng.random() < 0.5:
            path = shutil.copy(self.file, self.hurt)
            errors = self.file.with_name("table.errors.parquet")
            shutil.copy(errors, self.hurt)
            flip_bit(Path(path), self.rng)
            self.check_read(Path(path), Path(path))
        else:
            shutil.copytree(self.saved, self.hurt, dirs_exist_ok=True)
            path = self.hurt / self.rng.choice(["cells.parquet", "errors.parquet", "manifest.json"])
            flip_bit(path, self.rng)
            self.check_read(self.hurt, path)

    def break_manifest(self) -> None:
        """Replace or cut the manifest, then run again or restart."""
        folder = self.copy()
        manifest = folder / "manifest.json"
        data = manifest.read_bytes()
        new = self.rng.choice([*MANIFESTS, data[: self.rng.randrange(len(data))]])
        manifest.unlink()
        if new is None:
            manifest.mkdir()
        else:
            manifest.write_bytes(new)
        self.check_read(folder, manifest)
        if self.rng.random() < 0.5:
            self.measure(folder, restart=True)
        self.check_mended()

    def lose_files(self) -> None:
        """Remove some of the files of a result, then run again or restart."""
        folder = self.copy()
        lost = self.rng.sample(sorted(self.expected), self.rng.randint(1, len(self.expected) - 1))
        for name in lost:
            (folder / name).unlink()
        try:
            table = extract.load(folder)
        except (ValueError, FileNotFoundError):
            self.counts["refused"] += 1
        else:
            self.check_same(table)
        if self.rng.random() < 0.3:
            self.measure(folder, restart=True)
        self.check_mended()

    def add_files(self) -> None:
        """Add files that the run did not write."""
        folder = self.copy()
        names = self.rng.sample(STRAY, 3)
        source = pd.read_parquet(self.whole / "cells" / "part-00000.parquet")
        for name in names:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            if path.suffix == ".parquet":
                source.to_parquet(path)
            else:
                path.write_bytes(b"notes")
        self.check_same(extract.load(folder))
        if self.rng.random() < 0.3:
            names = [name for name in names if "part-99999" not in name]
            self.measure(folder, restart=True)
            (folder / "cells" / "part-99999.parquet").unlink(missing_ok=True)
        self.check_mended(*names)

    def fill_disk(self) -> None:
        """Let a random write of a run fail for want of space, then run again."""
        shutil.rmtree(self.hurt, ignore_errors=True)
        fsync, calls, goal = os.fsync, Counter[str](), self.rng.randint(1, len(self.expected))

        def full(handle: int) -> None:
            calls["fsync"] += 1
            if calls["fsync"] >= goal:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        refusal = None
        with mock.patch.object(os, "fsync", full):
            try:
                self.measure(self.hurt)
            except OSError as error:
                refusal = error
        assert refusal is not None, "the disk was never full"
        assert refusal.errno == errno.ENOSPC, refusal
        assert str(self.hurt) in str(refusal), refusal
        assert not list(self.hurt.rglob("*.part"))
        self.check_mended()

    def kill(self) -> None:
        """Kill the command at a random moment, several times, then let it end."""
        shutil.rmtree(self.hurt, ignore_errors=True)
        command = [sys.executable, "-m", "hemafeat", "extract", str(self.images), "--quiet"]
        command += ["--out", str(self.hurt), "--families", *FAMILIES, "--jobs", "2"]
        command += ["--shard-size", str(SHARD_SIZE)]
        signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
        # A job in the background inherits that some are ignored.
        signals = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
        for _ in range(self.rng.randint(1, 3)):
            processes = self.rng.random() < 0.5
            stop = self.rng.choice(signals)
            child = subprocess.Popen(
                [*command, *(["--processes"] if processes else [])],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            goal = self.rng.randint(0, N_IMAGES // SHARD_SIZE)
            while child.poll() is None and len(list(self.hurt.glob("cells/part-*"))) < goal:
                time.sleep(0.002)
            time.sleep(self.rng.uniform(0, 0.5))
            ended = child.poll() is not None
            child.send_signal(stop)
            # The pipes end when the last process that holds them does: no worker is left.
            _, text = child.communicate(timeout=PATIENCE)
            code = child.returncode
            self.counts["killed with processes" if processes else "killed with threads"] += 1
            if stop != signal.SIGKILL and not ended and code not in (0, -stop):
                assert code == 128 + stop, (code, text)
                assert "run the same command again to resume" in text
                assert "Traceback" not in text, text
                assert not list(self.hurt.rglob("*.part"))
        self.check_mended()


FAULTS: dict[Callable[[Injector], None], int] = {
    Injector.flip_in_folder: 12,
    Injector.flip_in_file: 8,
    Injector.break_manifest: 4,
    Injector.lose_files: 2,
    Injector.add_files: 2,
    Injector.fill_disk: 2,
    **({} if os.name == "nt" else {Injector.kill: 1}),
}
"""Faults, and how often each is tried."""


def run(
    seconds: float, random_state: int, report: Callable[[str], object] = print
) -> dict[str, int]:
    """Inject faults for a while.

    Parameters
    ----------
    seconds : float
        The last fault begins before they have passed.
    random_state : int
        Seed of the faults; the moments of kills also depend on the machine.
    report : callable
        Called with a line of text once a minute, and for a fault that was not withstood.

    Returns
    -------
    dict of str to int
        Number of faults by kind, and of what became of them.

    Raises
    ------
    AssertionError
        Something was lost, or read with wrong values.
    """
    end, said = time.monotonic() + seconds, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        injector = Injector(Path(folder), random_state)
        # Each kind once, then at random.
        waiting = list(FAULTS)
        while time.monotonic() < end or waiting:
            fault = (
                waiting.pop(0)
                if waiting
                else injector.rng.choices(list(FAULTS), list(FAULTS.values()))[0]
            )
            try:
                fault(injector)
            except Exception:
                report(f"{fault.__name__} was not withstood, after {dict(injector.counts)}")
                raise
            injector.counts[fault.__name__] += 1
            if time.monotonic() > said + 60:
                said = time.monotonic()
                report(f"{dict(injector.counts)}")
    return dict(sorted(injector.counts.items()))


if __name__ == "__main__":
    print(run(float(sys.argv[1]), int(sys.argv[2])))
