"""Embeddings and networks on the command line: as columns of a table, and as models."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemafeat.networks import EmbeddingFamily


from hemafeat.cli import _arguments


def add_embeddings(parser: argparse.ArgumentParser, *, columns: bool = True) -> None:
    """Arguments for embeddings; without `columns` only where weights are."""
    group = parser.add_argument_group("embeddings (need hemafeat[deep])")
    if columns:
        group.add_argument(
            "--embedding",
            nargs="+",
            metavar="NETWORK",
            help="columns of what a network sees of each cell, beside the families: InceptionV3, "
            "VGG16/fc1 (a layer), ...",
        )
        group.add_argument(
            "--streams",
            nargs="+",
            default=["rgb_cell"],
            metavar="NAME",
            help="what it is shown: rgb, hsv, od or masked, with _cell or _centre for that part of "
            "the image; default: rgb_cell",
        )
    group.add_argument(
        "--weights",
        metavar="FILE",
        help="its weights: a .h5, .weights.h5 or .keras file, imagenet (default), or random",
    )


def families(args: argparse.Namespace) -> list[EmbeddingFamily]:
    """The embeddings asked for, and those a saved model needs, ready to be measured."""
    found = [make() for make in getattr(args, "needed", [])]
    for name in getattr(args, "embedding", None) or []:
        backbone, _, layer = name.partition("/")
        found.append(_family(backbone, layer or None, weights(args), args.streams))
    return found


def weights(args: argparse.Namespace) -> str | None:
    """What ``--weights`` means to `networks.Embedding`."""
    if args.weights in (None, "imagenet"):
        return "imagenet"
    return None if args.weights == "random" else str(args.weights)


def is_embedding(name: str) -> bool:
    """Return whether a name of a model begins with ``embedding:``."""
    return name.startswith("embedding:")


def model_name(name: str, args: argparse.Namespace) -> str:
    """The name of a model, with the weights of ``--weights`` where it names none."""
    if not is_embedding(name) or "@" in name or args.weights is None:
        return name
    return f"{name}@{args.weights}"


def check(name: str) -> None:
    """Refuse the name of a model on embeddings that cannot be made, before anything is measured."""
    from hemafeat import pipelines
    from hemafeat.cli._errors import Usage

    try:
        pipelines.make(name)[0].ready()
    except (ImportError, ValueError) as error:
        raise Usage(f"--models: {error}") from None


def need(columns: Iterable[str], args: argparse.Namespace) -> list[str]:
    """Names of families that `columns` are of, less embeddings: those go to ``args.needed``."""
    from hemafeat.networks import EmbeddingName

    asked: dict[str, dict[str, None]] = {}
    for column in columns:
        if column.count("__") >= 2:
            _, family, *rest = column.split("__")
            asked.setdefault(family, {})["__".join(rest[1:]) or "rgb"] = None
    args.needed = []
    for name in list(asked):
        said = EmbeddingName.parse(name)
        if said is None:
            continue
        # Made when images are measured; a table has its columns already.
        args.needed.append(partial(_again, name, said, list(asked.pop(name)), args))
    return list(asked)


def moved(model: Any, args: argparse.Namespace) -> None:
    """Let a saved model look for its weights where ``--weights`` says; others are refused."""
    from hemafeat.networks import Embedding

    first = model.steps[0][1] if hasattr(model, "steps") else model
    if args.weights is not None and isinstance(first, Embedding):
        first.set_params(weights=weights(args))


def _again(name: str, said: Any, streams: list[str], args: argparse.Namespace) -> EmbeddingFamily:
    from hemafeat.cli._errors import Failure

    given: dict[str, Any] = {"size": said.size}
    source = weights(args)
    if said.weights.startswith("random"):
        source, given["random_state"] = None, int(said.weights[6:])
    elif said.weights.startswith("file") and source in (None, "imagenet"):
        raise Failure(f"the model needs the embedding {name}: give its weights by --weights FILE")
    made = _family(said.backbone, said.layer, source, streams, **given)
    if made.__name__ != name:
        raise Failure(
            f"the model needs the embedding {name}, but these weights are {made.__name__}"
        )
    return made


def _family(
    backbone: str, layer: str | None, source: str | None, streams: list[str], **given: Any
) -> EmbeddingFamily:
    from hemafeat.cli._errors import Usage
    from hemafeat.networks import embedding_family

    if source not in (None, "imagenet") and not Path(source).is_file():
        raise Usage(f"--weights: no file {source}")
    try:
        return embedding_family(backbone, source, layer=layer, streams=streams, **given)
    except ImportError as error:
        raise Usage(f"--embedding: {error}") from None
    except ValueError as error:
        raise Usage(f"--embedding: {error}") from None


def add_networks(parser: argparse.ArgumentParser) -> None:
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
