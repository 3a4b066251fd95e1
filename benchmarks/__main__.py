"""Run published systems again, and measure the speed and accuracy of hemafeat.

    python -m benchmarks list                     the published systems
    python -m benchmarks run NAME --data DIR      the same as hemafeat rerun
    python -m benchmarks speed --data DIR         a script of this folder, with its arguments
    python -m benchmarks SCRIPT --help            its arguments

    python -m benchmarks --device cpu run NAME    without an accelerator, or with one: gpu

Verbs of ``hemafeat rerun``: list, show, check, run, page. Scripts: {scripts}.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
VERBS = ("list", "show", "check", "run", "page")


def scripts() -> list[str]:
    """Return the names of the scripts of this folder."""
    files = [path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")]
    return sorted([*files, *(path.parent.name for path in HERE.glob("*/__main__.py"))])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb of ``hemafeat rerun`` or a script."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--device"]:
        use_device(words[1] if len(words) > 1 else "")
        words = words[2:]
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in VERBS:
        from hemafeat.cli import main as command

        return command(["rerun", name, *rest])
    if name in scripts():
        path = HERE / name if (HERE / name).is_dir() else HERE / f"{name}.py"
        sys.argv = [str(path), *rest]
        if path.is_file():  # as Python does; of a folder it does so itself
            sys.path.insert(0, str(HERE))
        runpy.run_path(str(path), run_name="__main__")
        return 0
    print((__doc__ or "").replace("{scripts}", ", ".join(scripts())))
    if name in ("-h", "--help"):
        return 0
    print(f"there is no {name!r}", file=sys.stderr)
    return 2


def use_device(name: str) -> None:
    """Hide the accelerator from libraries that are loaded later, or check that there is one."""
    if name not in ("cpu", "gpu"):
        sys.exit(f"--device is {name!r}; expected 'cpu' or 'gpu'")
    if name == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
        return
    import keras

    devices = keras.distribution.list_devices()
    if all("cpu" in device.lower() for device in devices):
        sys.exit(f"--device gpu: Keras ({keras.backend.backend()}) finds only {devices}")


if __name__ == "__main__":
    raise SystemExit(main())
