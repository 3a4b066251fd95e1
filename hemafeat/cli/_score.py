"""``hemafeat score``: compare segmenters with the truth of one's own images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._words import plural
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Score segmenters on images of which the cells are known: Dice of nucleus and cell, cells found
and missed, spurious outlines, distances of borders, milliseconds per image, and how well
suspected failures agree with real ones. Several segmenters see the same images. --out keeps
the scores of each cell, and pictures of the worst ones with true and found outlines."""

EXAMPLES = """\
  hemafeat score cells/ --truth masks/ --segmenter contours unet --out scores/
      masks named like the images; scores/worst_unet.png shows the worst cells
  hemafeat score cells/ --truth cell_masks/ nucleus_masks/
      a folder of cells, and one of nuclei
  hemafeat score BCCD/ --dataset bccd --truth given --segmenter unet:network.onnx
      the masks of a public data set, and a network of your own
  hemafeat score fields/ --truth boxes.csv --segmenter best
      detection alone: columns path, label, xmin, ymin, xmax, ymax (or path, x, y)
  hemafeat score fields/ --truth points.csv --truth-labels 3 4
      with labels of your own; 'none' if no label is that of a white cell
  hemafeat score red_cells/ --truth none
      fields without white cells: every outline is spurious
  hemafeat score cells/ --truth masks/ --format csv > scores.csv"""

MARKS = ("scores.csv",)


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "score", run, "compare segmenters with the truth", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input", nargs="+", metavar="IMAGES", help="a folder, a CSV or Parquet file, or images"
    )
    parser.add_argument(
        "--truth",
        nargs="+",
        required=True,
        metavar="MASKS",
        help="a folder of masks named like the images (or of 'hemafeat segment'); two, of cells "
        "and of nuclei; a mask for each image; a CSV, TSV or Parquet file of boxes or points; "
        "'given' for the masks named by the image table or the data set; 'none' if the images show "
        "no cells",
    )
    _arguments.add_mask_kind(parser)
    parser.add_argument(
        "--truth-labels",
        nargs="+",
        metavar="LABEL",
        help="labels of the boxes or points that are white cells, or 'none'; by default wbc, "
        "leukocyte, neutrophil and the like",
    )
    _arguments.add_segmenter(parser, several=True)
    _arguments.add_dataset(parser)
    parser.add_argument(
        "--ignore-border",
        action="store_true",
        help="leave out cells cut by the border of the image, and spurious outlines there",
    )
    parser.add_argument(
        "--min-dice",
        type=_arguments.number,
        default=0.8,
        metavar="X",
        help="Dice of cell or nucleus below which an outline has failed; default: 0.8",
    )
    parser.add_argument("--out", metavar="DIR", help="folder to write tables and pictures to")
    parser.add_argument(
        "--format",
        choices=("text", "csv", "json"),
        default="text",
        help="format to print; default: text",
    )
    parser.add_argument(
        "--n-boot",
        type=_arguments.positive_int,
        default=1000,
        metavar="N",
        help="number of resamples of the intervals; default: 1000",
    )
    parser.add_argument(
        "--seed", type=_arguments.seed, default=0, metavar="N", help="seed of the resamples"
    )
    _arguments.add_restart(parser, "scores of other settings")
    parser.add_argument(
        "--jobs",
        "-j",
        type=_arguments.positive_int,
        default=1,
        metavar="N",
        help="number of workers; default: 1, with which the times are those of one processor",
    )


def run(args: argparse.Namespace) -> None:
    """Score the segmenters, and print and write the scores."""
    from hemafeat import segment

    if not 0 <= args.min_dice <= 1:
        raise Usage(f"--min-dice: {args.min_dice} is not a number from 0 to 1")
    if args.restart and args.out is None:
        raise Usage("--restart needs --out")
    segmenters = _inputs.segmenters(args)
    out = None
    if args.out is not None:
        out = _output.result_folder(args.out, "score", MARKS, [*args.input, *args.truth])
        if any((out / name).exists() for name in MARKS):
            _output.keep_earlier(out, "score", args, same=True)
    listed = _inputs.images(args.input, args.dataset)
    truth = _truth(args, listed)
    labels = args.truth_labels
    scores = segment.score_images(
        listed,
        truth,
        segmenters,
        mask_kind=args.mask_kind,
        truth_labels=() if labels == ["none"] else labels,
        ignore_border=args.ignore_border,
        min_dice=args.min_dice,
        n_boot=args.n_boot,
        random_state=args.seed,
        n_jobs=args.jobs,
        progress=_arguments.progress(args),
    )
    remarks = []
    if len(scores.errors):
        first = scores.errors.iloc[0]
        remarks.append(
            f"{plural(scores.errors['image'].nunique(), 'image')} with errors; the first is "
            f"{first['image']}: {first['message']}"
        )
    if out is not None:
        for sheet in out.glob("worst_*.png"):
            sheet.unlink()
        scores.save(out)
        _output.save_settings(out, _output.settings(args))
        remarks.append(str(out))
    if args.format == "text":
        print("\n".join([repr(scores), *(["", *remarks] if remarks else [])]))
    else:
        table = scores.summary
        if args.format == "csv":
            sys.stdout.write(table.to_csv(index=False, lineterminator="\n"))
        else:
            print(table.to_json(orient="records", indent=2))
        for remark in remarks:
            print(remark, file=sys.stderr)
    for name in scores.segmenters:
        if scores.images.loc[scores.images["segmenter"] == name, "ms"].isna().all():
            error = scores.errors[scores.errors["stage"] == f"segment:{name}"].iloc[0]
            raise Failure(f"{name} failed on every image: {error['message']}")


def _truth(args: argparse.Namespace, listed: pd.DataFrame) -> Any:
    """Check and return the truth, as `score_images` takes it."""
    words = args.truth
    is_table = len(words) == 1 and Path(words[0]).suffix.lower() in (".csv", ".tsv", ".parquet")
    if args.mask_kind != "auto" and (is_table or words == ["none"]):
        raise Usage(f"--mask-kind has no effect: --truth {words[0]} is no mask")
    if words == ["none"]:
        return "none"
    if words == ["given"]:
        if listed["mask"].isna().all():
            raise Usage(
                "--truth given: these images come without masks; name them in a column 'mask', or "
                "give their folder"
            )
        return "given"
    paths = [Path(word) for word in words]
    for path in paths:
        if not path.exists():
            raise Usage(f"--truth: {path}: no such file or folder")
    folders = [path.is_dir() for path in paths]
    if is_table or folders == [True]:
        return words[0]
    if folders == [True, True]:
        return tuple(words)
    if any(folders) or len(paths) != len(listed):
        raise Usage(
            f"--truth: give one folder, two (cells and nuclei), one table, or a mask for each of "
            f"the {plural(len(listed), 'image')}"
        )
    return words
