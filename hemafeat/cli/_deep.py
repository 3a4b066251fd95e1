"""Embeddings and networks on the command line: as columns of a table, and as models."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat.cli import _arguments
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    from hemafeat.networks import EmbeddingFamily


def add_embeddings(parser: argparse.ArgumentParser, *, columns: bool = True) -> None:
    """Add the arguments of embeddings; without `columns` only ``--weights``."""
    group = parser.add_argument_group("embeddings (need the extra 'deep')")
    if columns:
        group.add_argument(
            "--embedding",
            nargs="+",
            metavar="NETWORK",
            help="add the embedding of each cell by a network as columns: InceptionV3, VGG16/fc1 "
            "(a layer), ...",
        )
        group.add_argument(
            "--streams",
            nargs="+",
            default=["rgb_cell"],
            metavar="NAME",
            help="pictures that the network gets: rgb, hsv, od or masked, with _cell or _centre "
            "for that part of the image; default: rgb_cell",
        )
    group.add_argument(
        "--weights",
        metavar="FILE",
        help="weights of the network: a .h5, .weights.h5 or .keras file, a state file of PyTorch "
        "(.pth, .pt, .bin, .safetensors), imagenet (default of embeddings), or random (default of "
        "networks that are trained)",
    )


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of networks that are trained as models."""
    group = parser.add_argument_group("networks (--models lenet5 ..., need the extra 'deep')")
    group.add_argument(
        "--epochs",
        type=_arguments.positive_int,
        metavar="N",
        help="largest number of epochs; default: 30",
    )
    group.add_argument(
        "--image-size",
        type=_arguments.positive_int,
        metavar="PX",
        help="side of the images; by default that of the published network",
    )


def models(names: list[str] | None, args: argparse.Namespace) -> Any:
    """Return the models as `evaluate.compare` takes them.

    These are the names themselves, or, where the arguments hold options of networks, a dict of
    estimators.
    """
    from hemafeat import pipelines

    options: dict[str, Any] = {"epochs": args.epochs, "size": args.image_size}
    if args.weights is not None:
        options["weights"] = weights(args)
    options = {name: value for name, value in options.items() if value is not None}
    if not options or args.level == "patient" or not any(map(is_network, names or [])):
        return names
    return {
        name: pipelines.make(name, random_state=args.seed, **(options if is_network(name) else {}))
        for name in names or []
    }


def families(args: argparse.Namespace) -> list[EmbeddingFamily]:
    """Return the families of ``--embedding``, and those that a saved model needs."""
    families = [make() for make in getattr(args, "needed", [])]
    for name in getattr(args, "embedding", None) or []:
        backbone, _, layer = name.partition("/")
        families.append(_family(backbone, layer or None, weights(args), args.streams))
    return families


def weights(args: argparse.Namespace) -> str | None:
    """Return ``--weights`` as `networks.Embedding` takes it."""
    if args.weights in (None, "imagenet"):
        return "imagenet"
    return None if args.weights == "random" else str(args.weights)


def is_embedding(name: str) -> bool:
    """Return whether the name of a model begins with ``embedding:``."""
    return name.startswith("embedding:")


def is_network(name: str) -> bool:
    """Return whether a model is a network that is trained on the images."""
    from hemafeat import pipelines

    return name in set(pipelines.names(deep=True)) - set(pipelines.names())


def with_weights(name: str, args: argparse.Namespace) -> str:
    """Return the name of a model, with ``--weights`` added to an embedding that names none."""
    if not is_embedding(name) or "@" in name or args.weights is None:
        return name
    return f"{name}@{args.weights}"


def check(name: str, args: argparse.Namespace) -> None:
    """Refuse a network whose weights cannot be had, before any cell is measured."""
    from hemafeat import pipelines

    model = pipelines.make(name)
    try:
        if is_embedding(name):
            model[0].check_weights()
        elif args.weights is not None:
            model.set_params(weights=weights(args)).check_weights()
    except (ImportError, ValueError) as error:
        raise Usage(f"--models: {error}") from None


def check_options(names: Iterable[str] | None, args: argparse.Namespace) -> None:
    """Refuse options of networks where no network would get them.

    Parameters
    ----------
    names : iterable of str, or None
        Models to compare; None for all models of patients, none of which is a network.
    args : Namespace
        With the arguments of `add_embeddings` and `add_networks`.
    """
    trained = args.level == "cell" and any(map(is_network, names or ()))
    for option in [] if trained else _arguments.given(args, "epochs", "image_size"):
        raise Usage(f"{option} needs a network of cells among --models, such as lenet5")
    if args.embedding is None:
        for option in _arguments.given(args, "streams"):
            raise Usage(f"{option} needs --embedding")
        embedded = args.level == "cell" and any(map(is_embedding, names or ()))
        for option in [] if trained or embedded else _arguments.given(args, "weights"):
            raise Usage(f"{option} needs --embedding, or a network among --models")


def families_of(columns: Iterable[str], args: argparse.Namespace) -> list[str]:
    """Return the names of the families that `columns` belong to, without embeddings.

    Embeddings are kept in ``args.needed``, from which `families` makes them when images are
    measured; a table holds their columns already.
    """
    from hemafeat.networks import EmbeddingName

    planes: dict[str, dict[str, None]] = {}
    for column in columns:
        if column.count("__") >= 2:
            _, family, *rest = column.split("__")
            planes.setdefault(family, {})["__".join(rest[1:]) or "rgb"] = None
    args.needed = []
    for family in list(planes):
        embedding = EmbeddingName.parse(family)
        if embedding is not None:
            streams = list(planes.pop(family))
            args.needed.append(partial(_embedding_of_model, family, embedding, streams, args))
    return list(planes)


def use_weights(model: Any, args: argparse.Namespace) -> None:
    """Set the weights of a saved model on embeddings to the file of ``--weights``."""
    from hemafeat.networks import Embedding

    first = model.steps[0][1] if hasattr(model, "steps") else model
    if args.weights is not None and isinstance(first, Embedding):
        first.set_params(weights=weights(args))


def _embedding_of_model(
    name: str, embedding: Any, streams: list[str], args: argparse.Namespace
) -> EmbeddingFamily:
    options: dict[str, Any] = {"size": embedding.size}
    source = weights(args)
    if embedding.weights.startswith("random"):
        source, options["random_state"] = None, int(embedding.weights[6:])
    elif embedding.weights.startswith("file") and source in (None, "imagenet"):
        raise Failure(f"the model needs the embedding {name}: pass its weights by --weights FILE")
    family = _family(embedding.backbone, embedding.layer, source, streams, **options)
    if family.__name__ != name:
        raise Failure(
            f"the model needs the embedding {name}, but these weights give {family.__name__}"
        )
    return family


def _family(
    backbone: str, layer: str | None, source: str | None, streams: list[str], **options: Any
) -> EmbeddingFamily:
    from hemafeat.networks import embedding_family

    if source not in (None, "imagenet") and not Path(source).is_file():
        raise Usage(f"--weights: the file {source} does not exist")
    try:
        return embedding_family(backbone, source, layer=layer, streams=streams, **options)
    except (ImportError, ValueError) as error:
        raise Usage(f"--embedding: {error}") from None
