"""``hemafeat compile``: compile the kernels ahead of the first run."""

from __future__ import annotations

import argparse
from typing import Any

from hemafeat._words import plural
from hemafeat.cli import _arguments
from hemafeat.cli._errors import Failure, Usage

DESCRIPTION = """\
Compile the kernels of a segmenter and of the families of features into the cache on disk, so
that the first run starts at once. The first run does this by itself; this command is for
container images, continuous integration and clusters. What is compiled already is kept."""

EXAMPLES = """\
  hemafeat compile                        what hemafeat extract needs by default
  hemafeat compile --families all --jobs 4
  RUN hemafeat compile                    in a Dockerfile, after pip install
  NUMBA_CACHE_DIR=/shared/cache hemafeat compile
      on a disk that many machines with the same processor share; set the variable in
      their jobs as well"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "compile", run, "compile ahead of the first run", DESCRIPTION, EXAMPLES
    )
    parser.set_defaults(resumes=lambda args: True)
    parser.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        default=["default"],
        help="families of features to compile: fast, default, all, or names",
    )
    parser.add_argument(
        "--segmenter",
        default="contours",
        metavar="NAME",
        help="segmenter to compile: contours (default), unet or best",
    )
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Compile, and print what was compiled and where the cache is."""
    from hemafeat import extract, segment

    try:
        compiled = extract.compile_kernels(
            _arguments.split_names(args.families),
            segmenter=args.segmenter,
            n_jobs=args.jobs,
            progress=False if args.quiet else None,
        )
    except (extract.FamilyError, segment.SegmenterError) as error:
        raise Usage(str(error)) from None
    except (OSError, RuntimeError) as error:
        raise Failure(str(error)) from None
    print(
        f"{plural(len(compiled.new), 'unit')} compiled in {compiled.seconds:.1f} s, "
        f"{len(compiled.known)} compiled before"
    )
    print(compiled.folder)
    if compiled.failed:
        raise Failure(
            f"not compiled: {', '.join(compiled.failed)}; a process ended early, perhaps for lack "
            "of memory: try --jobs 1"
        )
