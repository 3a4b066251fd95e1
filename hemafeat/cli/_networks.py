"""Networks of images in ``hemafeat compare``: how long they are trained, and on what size."""

from __future__ import annotations

import argparse
from typing import Any

from hemafeat.cli import _arguments


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of networks."""
    group = parser.add_argument_group("networks (--models lenet5 ..., which need hemafeat[deep])")
    group.add_argument(
        "--epochs", type=_arguments.positive, metavar="N", help="most epochs; default: 30"
    )
    group.add_argument(
        "--image-size",
        type=_arguments.positive,
        metavar="PX",
        help="side of the images; by default what the network was published with",
    )


def made(names: list[str], args: argparse.Namespace) -> Any:
    """The models as `evaluate.compare` takes them: names, or with options what they stand for."""
    from hemafeat import pipelines
    from hemafeat.evaluate._setup import _seeded

    options = {"epochs": args.epochs, "size": args.image_size}
    options = {name: value for name, value in options.items() if value is not None}
    deep = set(pipelines.names(deep=True)) - set(pipelines.names())
    if not options or not deep & set(names):
        return names
    found = {name: pipelines.make(name, **(options if name in deep else {})) for name in names}
    return {name: _seeded(model, args.seed) for name, model in found.items()}
