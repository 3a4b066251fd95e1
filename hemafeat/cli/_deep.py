"""Embeddings and networks on the command line: as columns of a table, and as models."""

from __future__ import annotations

import argparse
import ast
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
            help="pictures that the network gets: rgb, hsv, od, masked or blackened, with _cell or "
            "_centre for that part of the image; default: rgb_cell",
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
    group.add_argument(
        "--set",
        dest="options",
        nargs="+",
        action="extend",
        default=[],
        metavar="OPTION=VALUE",
        help="options of the networks, as those of NetworkClassifier in Python: learning_rate=1e-4 "
        "crop=256 optimizer=sgd optimizer.momentum=0.9 augment.zoom=0.1 ...; MODEL.OPTION=VALUE "
        "for one model",
    )


def models(names: list[str] | None, args: argparse.Namespace) -> Any:
    """Return the models as `evaluate.compare` takes them.

    These are the names themselves, or, where the arguments hold options of them, a dict of
    estimators.
    """
    from hemafeat import pipelines

    of_models = options(names or [], args)
    if not any(of_models.values()):
        return names
    made = {}
    for name in names or []:
        try:
            made[name] = pipelines.make(
                name, unit=args.level, random_state=args.seed, **of_models[name]
            )
        except (TypeError, ValueError) as error:
            raise Usage(f"--set: {error}") from None
    return made


def options(names: list[str], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the options of each model that the arguments hold.

    Raises
    ------
    Usage
        An option has no value, is given twice, or belongs to no model.
    """
    shared: dict[str, Any] = {}
    if args.level == "cell":
        for option, value in (("epochs", args.epochs), ("size", args.image_size)):
            if value is not None:
                shared[option] = value
        if args.weights is not None and weights(args) is not None:
            shared["weights"] = weights(args)
    found = {name: dict(shared) if is_network(name, args.level) else {} for name in names}
    parts: dict[tuple[str, str], dict[str, Any]] = {}
    for word in getattr(args, "options", []):
        left, equals, text = word.partition("=")
        if not (left and equals):
            raise Usage(f"--set: {word!r} has no value; options are given as learning_rate=1e-4")
        owner = max((name for name in names if left.startswith(f"{name}.")), key=len, default="")
        option, _, field = left.removeprefix(f"{owner}.").partition(".")
        given = parts.setdefault((owner, option), {})
        if field in given:
            raise Usage(f"--set: {left} is given twice")
        given[field] = _value(text)
    # Options of one model come after those of all, which they replace.
    for (owner, option), given in sorted(parts.items()):
        takers = [owner] if owner else [name for name in names if is_network(name, args.level)]
        if not takers:
            raise Usage(
                f"--set {option}: none of the models is a network; MODEL.{option}=VALUE sets an "
                "option of another model"
            )
        if not owner and option in shared:
            named = {"epochs": "--epochs", "size": "--image-size", "weights": "--weights"}[option]
            raise Usage(f"--set {option}: given by {named} as well")
        for name in takers:
            found[name][option] = _joined(option, given)
    return found


def _value(text: str) -> Any:
    """Return the value of a text: a number, true, false, none, a list, a dict, or the text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _joined(option: str, given: dict[str, Any]) -> Any:
    """Return the value of an option and of its fields, such as ``optimizer.momentum``."""
    whole = given.get("", {})
    fields = {field: value for field, value in given.items() if field}
    if not fields:
        return whole
    if isinstance(whole, str):
        whole = {"name": whole}
    elif whole is True:
        whole = {}
    if not isinstance(whole, dict):
        raise Usage(f"--set: {option}={whole!r} has no field {next(iter(fields))!r}")
    return {**whole, **fields}


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


def is_network(name: str, unit: str = "cell") -> bool:
    """Return whether a model is a network that is trained on the images, or on bags of cells."""
    from hemafeat import pipelines

    if unit == "cell" and name.startswith(("keras:", "fine_tuned:")):
        return True
    deep = pipelines.names(unit=unit, deep=True, images=unit == "patient")
    return name in set(deep) - set(pipelines.names(unit=unit))


def with_weights(name: str, args: argparse.Namespace) -> str:
    """Return the name of a model, with ``--weights`` added to an embedding that names none."""
    if not is_embedding(name) or "@" in name or args.weights is None:
        return name
    return f"{name}@{args.weights}"


def check(names: list[str], args: argparse.Namespace) -> None:
    """Refuse networks with wrong options or weights that cannot be had, before any measuring."""
    from hemafeat import pipelines

    of_models = options(names, args)
    for name in names:
        if not (is_embedding(name) or is_network(name, args.level) or of_models[name]):
            continue
        try:
            model = pipelines.make(name, unit=args.level, **of_models[name])
            if is_embedding(name):
                model[0].check_weights()
            elif of_models[name] and hasattr(model, "build"):
                _say_trained(name, model, model.build(2), args)
        except TypeError as error:
            raise Usage(f"--set: {name}: {error}") from None
        except (ImportError, ValueError) as error:
            raise Usage(f"--models: {error}") from None


def _say_trained(name: str, model: Any, network: Any, args: argparse.Namespace) -> None:
    """Print which layers of a network are trained, if not all of them."""
    from hemafeat import networks

    last = getattr(model, "network", model).last_layers
    if last is not None:
        trained = networks.trained_layers(network, last)
        n = len(networks.trained_layers(network))
        _arguments.say(
            args,
            f"{name}: {len(trained)} of {n} layers with weights are trained, {trained[0]} to "
            f"{trained[-1]}",
        )


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
    if args.options and not names:
        raise Usage("--set needs models by name: --models NAME")
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
