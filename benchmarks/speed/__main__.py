"""Compare the speed of hemafeat and of other tools, and their values, on the same images.

    python benchmarks/speed [--data FOLDER] [--images 16] [--rounds 5] [--only GROUP ...]
                            [--peers NAME ...] [--out FILE.csv] [--picture FILE.png]
    python benchmarks/speed --costs       # write the costs that extract.families() shows
    python benchmarks/speed --cold        # seconds of compilation, nothing else
    python benchmarks/speed --growth      # with the size of the image and the number of cells

One process runs on one core, with one thread in every library. Each image is visited round after
round, and in each visit every call is timed once, in a new order; calls of less than 20 ms are made
once untimed before. The results are the median and the quartiles in ms, and the median over images
of the ratio to `cv2.imdecode` of the same image as JPEG of quality 95. The box of the nucleus, and
the grey levels for matrices, are prepared for peers untimed; hemafeat starts from RGB and labels.

FOLDER is anything `hemafeat.datasets.as_table` takes; without it cells of 360 x 360 are drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import timing


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder, CSV or image list; drawn cells by default")
    parser.add_argument("--images", type=int, default=16, help="number of images (default 16)")
    parser.add_argument("--rounds", type=int, default=5, help="visits of each image (default 5)")
    parser.add_argument("--size", type=int, default=360, help="side of the drawn images in px")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="these groups, or 'whole'")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="these tools; none: hemafeat")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for a slow call (10)")
    parser.add_argument("--jobs", type=int, default=2, help="workers of the whole table (2)")
    parser.add_argument("--table", type=int, default=400, help="images of the whole table (400)")
    parser.add_argument("--families", default="default", help="families of the whole table")
    parser.add_argument("--out", type=Path, help="write what was measured: .csv or .json")
    parser.add_argument("--picture", type=Path, help="draw what was measured: .png or .svg")
    parser.add_argument("--costs", action="store_true", help="write hemafeat/extract/_costs.json")
    parser.add_argument("--cold", action="store_true", help="seconds of compilation, then stop")
    parser.add_argument("--growth", action="store_true", help="growth with pixels and cells")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    # Set before any library is loaded: libraries read them once.
    os.environ.update(dict.fromkeys(timing.THREADS, "1"))
    if args.cold:
        import cold

        cold.report(args.only)
        return 0
    import cells as images
    import intensity  # noqa: F401  (registered on import, as the next ones)
    import measure
    import ours  # noqa: F401
    import pandas as pd
    import peers
    import shape  # noqa: F401
    import texture  # noqa: F401
    import whole

    unknown = set(args.only or ()) - {*peers.GROUPS, "whole"}
    if unknown:
        names = ", ".join(peers.GROUPS)
        sys.exit(f"there is no group {', '.join(sorted(unknown))}; the groups are whole, {names}")
    pd.set_option("display.width", 200, "display.max_columns", 20)
    timing.use_one_thread()
    if args.growth:
        import growth

        with timing.pin_to_one_core() as pinned:
            print(pinned, peers.versions(["hemafeat", "nyxus", "cp_measure", "scikit-image"]))
            table = growth.report(args.rounds, args.budget)
        if args.out:
            write(args.out, {"process": pinned}, table, pd.DataFrame())
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        image_table = images.image_table(args.data, scratch, args.images, args.size)
        cells = [cell for path in image_table["image"] if (cell := images.read(path)) is not None]
        if not cells:
            sys.exit("no cell was segmented in these images")
        about = describe(cells, args.data)
        entries = measure.select_peers(args.only, args.peers)
        with timing.pin_to_one_core() as pinned:
            about["process"] = pinned
            about["versions"] = peers.versions(sorted({"cv2", "numpy", *(p.tool for p in entries)}))
            print("\n".join(f"{key}: {value}" for key, value in about.items()), "\n")
            table = pd.DataFrame()
            if entries:
                table = measure.compare(cells, entries, args.rounds, args.budget)
                print(measure.format_table(table), "\n")
                for name, why in peers.LEFT_OUT.items():
                    print(f"{name}: {why}")
            steps = pd.DataFrame()
            if args.costs or not args.only or "whole" in args.only:
                steps = whole.time_steps(cells, args.rounds)
                text = steps.to_string(index=False, float_format="{:.3f}".format, na_rep="")
                print(f"\nEach step of an image, in turn\n{text}")
                for name, families in (("default", ("fast", "default")), ("all", whole.SETS)):
                    sums = steps[steps["set"].isin(families)]
                    ms, decodes = sums["ms"].sum(), sums["decodes"].sum()
                    print(f"families in {name!r}, all columns: {ms:.3f} ms, {decodes:.2f} decodes")
                set_table = whole.time_sets(cells, args.rounds)
                text = set_table.to_string(index=False, float_format="{:.3f}".format, na_rep="")
                print(f"\nA whole image, by set of families\n{text}")
                share = whole.time_interpreter(cells, args.rounds, args.families)
                text = share.to_string(index=False, float_format="{:.3f}".format)
                print(f"\nThe interpreter's share of an image\n{text}")
        if not steps.empty and args.table > 0:
            copies = Path(scratch) / "copies"
            workers = whole.time_workers(cells, copies, args.table, args.families, args.jobs)
            text = workers.to_string(index=False, float_format="{:.3f}".format)
            print(f"\nextract.table(families={args.families!r}), best of 3\n{text}")
        if args.costs:
            whole.write_costs(steps, about["images"])
            print(f"\nwrote {whole.COSTS}")
    if args.out:
        write(args.out, about, table, steps)
    if args.picture and not table.empty:
        import picture

        picture.draw(table, args.picture)
    return 0


def describe(cells: list, data: str | None) -> dict:
    """Describe the images and the machine."""
    sides = sorted({"{1} x {0}".format(*cell.rgb.shape) for cell in cells})
    nucleus = sum(int(cell.nucleus.sum()) for cell in cells) / len(cells)
    whole = sum(int(cell.cell.sum()) for cell in cells) / len(cells)
    kind = "drawn cells" if data is None else "cells"
    return {
        "images": f"{len(cells)} {kind} of {', '.join(sides[:3])} px, "
        f"mean nucleus {nucleus:.0f} px, mean cell {whole:.0f} px",
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }


def write(target: Path, about: dict, table, steps) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".json":
        document = about | {
            "groups": json.loads(table.to_json(orient="records")),
            "steps": json.loads(steps.to_json(orient="records")),
        }
        target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    else:
        table.to_csv(target, index=False)
        if not steps.empty:
            steps.to_csv(target.with_name(f"{target.stem}_steps.csv"), index=False)


if __name__ == "__main__":
    raise SystemExit(main())
