"""Attack hemafeat with damaged and hostile files for as long as you like.

    python benchmarks/attack.py images --minutes 5
    python benchmarks/attack.py masks --random-state 7
    python benchmarks/attack.py folder --minutes 60

`images` mutates image files, `masks` makes masks that no segmenter would, `folder` kills and
damages runs that write a result folder. The test suite does the same for a few seconds. Failures
are printed as they occur, with the seed or the bytes that repeat them, and counts at the end.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

KINDS = {"images": "fuzz_images", "masks": "hostile_masks", "folder": "fault_injector"}
"""Modules of `tests/support` with a function `run(seconds, random_state, report)`."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS, help="what to attack")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--random-state", type=int, default=0, metavar="N", help="seed (default 0)")
    args = parser.parse_args(arguments)
    tests = str(Path(__file__).resolve().parents[1] / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    attack = importlib.import_module(f"support.{KINDS[args.kind]}")
    counts = attack.run(args.minutes * 60, args.random_state, report=print)
    for what, count in counts.items():
        number = count if isinstance(count, int) else len(count)
        print(f"{number:>12,} {what.replace('_', ' ')}")


if __name__ == "__main__":
    main()
