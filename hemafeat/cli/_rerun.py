"""``hemafeat rerun``: published systems, run again beside their published figures."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from hemafeat.cli import _arguments
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Run published systems again, and put the figures of their reports beside those that are
reproduced: once as published, with the split and the errors of the report, and once
corrected. Without --data, cells are drawn in the layout of the data set, so that every
step runs, but no score means anything."""

EXAMPLES = """\
  hemafeat rerun list                               the systems
  hemafeat rerun show ufsc2022                      what a recipe says, and what it guesses
  hemafeat rerun check ufsc2022 --data C-NMC/       counts, parameters and weights, at once
  hemafeat rerun check ufsc2022 --time              minutes per epoch on this machine
  hemafeat rerun run ufsc2022 --data C-NMC/ --weights weights/
  hemafeat rerun run bernard2021_ten --data pbc=PBC/ apl=APL/ --as corrected
  hemafeat rerun run --all --small                  every system on few drawn cells
  hemafeat rerun page                               all results on one page
  hemafeat rerun run my_system.toml --data cells/   a recipe of your own"""

VERBS = ("list", "show", "check", "run", "page")


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "rerun", run, "run published systems again", DESCRIPTION, EXAMPLES
    )
    parser.set_defaults(resumes=lambda args: args.verb == "run")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=", ".join(VERBS))
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes, or .toml files")
    parser.add_argument("--all", action="store_true", help="every recipe")
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folder of the data set, or NAME=DIR for each of several",
    )
    parser.add_argument(
        "--as",
        dest="version",
        choices=("published", "corrected", "both"),
        default="both",
        help="run the system as published, corrected, or both; default: both",
    )
    parser.add_argument("--only", nargs="+", metavar="MODEL", help="models to run; default: all")
    parser.add_argument(
        "--small", action="store_true", help="few images and small networks, to see that it runs"
    )
    parser.add_argument(
        "--time",
        action="store_true",
        help="with check: train each network on a few images, to estimate minutes and memory",
    )
    parser.add_argument("--weights", metavar="DIR", help="folder of the files of weights")
    parser.add_argument(
        "--out",
        default="hemafeat-rerun",
        metavar="DIR",
        help="folder to write; default: hemafeat-rerun",
    )
    parser.add_argument(
        "--n-boot",
        type=_arguments.positive_int,
        default=1000,
        metavar="N",
        help="number of bootstrap samples for the intervals; default: 1000",
    )
    parser.add_argument(
        "--seed", type=_arguments.seed, default=0, metavar="N", help="seed of everything random"
    )
    parser.add_argument(
        "--format", choices=("text", "csv"), default="text", help="format to print; default: text"
    )
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Do what the verb says."""
    from hemafeat import recipes

    if args.verb == "list":
        _print(_listed(recipes.names()), args)
    elif args.verb == "page":
        print(recipes.page(args.out))
    else:
        for name in _names(args):
            if args.verb == "show":
                print(_shown(recipes.recipe(name)))
        if args.verb == "check":
            _check(args)
        if args.verb == "run":
            _run(args)


def _names(args: argparse.Namespace) -> list[str]:
    from hemafeat import recipes

    if args.all:
        return recipes.names()
    if not args.names:
        raise Usage(f"{args.verb} needs the name of a recipe, or --all (see hemafeat rerun list)")
    return list(args.names)


def _data(args: argparse.Namespace) -> Any:
    if not args.data:
        return None
    named = {}
    for word in args.data:
        name, equals, folder = word.partition("=")
        if not equals:
            if len(args.data) > 1:
                raise Usage("--data: pass one folder, or NAME=DIR for each data set")
            return word
        named[name] = folder
    return named


def _check(args: argparse.Namespace) -> None:
    from hemafeat import recipes

    failed = []
    for name in _names(args):
        table = recipes.check(
            name, _data(args), only=args.only, weights=args.weights, time=args.time
        )
        table.insert(0, "recipe", name)
        _print(table, args)
        failed += [name] if (table["ok"] == False).any() else []  # noqa: E712 (missing is not False)
    if failed:
        raise Failure(f"{', '.join(failed)}: something differs from the report, see above")


def _run(args: argparse.Namespace) -> None:
    from hemafeat import recipes

    failed = []
    names, data = _names(args), _data(args)
    for one in map(recipes.recipe, names):
        unknown = [model for model in args.only or [] if model not in one.compared]
        if unknown:
            known = ", ".join(one.compared)
            raise Usage(f"--only: {one.name} has no model {unknown[0]!r}; its models are {known}")
    for name in names:
        _arguments.say(args, f"{name} ...")
        versions = None if args.version == "both" else [args.version]
        try:
            rerun = recipes.run(
                name,
                data,
                args.out,
                versions=versions,
                only=args.only,
                small=args.small,
                weights=args.weights,
                n_boot=args.n_boot,
                random_state=args.seed,
                n_jobs=_arguments.jobs(args),
                progress=not args.quiet,
            )
        except (ValueError, ImportError, OSError) as error:
            if len(names) == 1:
                raise
            failed.append(f"{name} ({error})")
            continue
        _print(rerun.summary(), args)
        print(rerun.folder)
        if "keras" in sys.modules:  # what it keeps of each network adds up to gigabytes
            sys.modules["keras"].utils.clear_session()
    print(recipes.page(args.out))
    if failed:
        raise Failure(f"{len(failed)} of {len(names)} recipes failed: {'; '.join(failed)}")


def _print(table: pd.DataFrame, args: argparse.Namespace) -> None:
    if args.format == "csv":
        sys.stdout.write(table.to_csv(index=False, lineterminator="\n"))
    else:
        print(table.to_string(index=False, na_rep="", float_format="{:.3f}".format))


def _listed(names: list[str]) -> pd.DataFrame:
    import pandas as pd

    from hemafeat import recipes

    rows = []
    for name in names:
        one = recipes.recipe(name)
        rows.append(
            (
                name,
                ", ".join(one.sets),
                one.level,
                len(one.compared),
                ", ".join(one.needs),
                one.title,
            )
        )
    return pd.DataFrame(rows, columns=["name", "data", "level", "models", "needs", "title"])


def _shown(one: Any) -> str:

    lines = [f"{one.name}: {one.title}", f"  report: {one.report}"]
    lines += [f"  source: {one.source}"] if one.source else []
    lines += [f"  data: {_flat(one.data)}"]
    lines += [f"  protocol, {version}: {_flat(value)}" for version, value in one.protocols.items()]
    lines += [f"  all networks: {_flat(one.network)}"] if one.network else []
    figures = one.published()
    for name, options in one.models.items():
        lines.append(f"  {name}: {_flat(options)}")
        stated = figures[
            (figures["model"] == options.get("figures", name)) & (figures["label"] == "")
        ]
        for row in stated.to_dict("records"):
            part = f" ({row['part']})" if row["part"] else ""
            lines.append(f"    {row['metric']}{part}: {row['value']:g}, {row['certainty']}")
    lines += [f"  study, {key}: {_flat(study)}" for key, study in one.studies.items()]
    lines += [f"  weights of {name}: {file}" for name, file in one.files.items()]
    lines += [f"  error of the report, {key}: {quirk['text']}" for key, quirk in one.quirks.items()]
    lines += [f"  not stated; chosen here: {guess}" for guess in one.guesses]
    return "\n".join(lines)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " and ".join(map(_flat, value))
    return str(value)
