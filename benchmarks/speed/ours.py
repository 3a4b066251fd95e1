"""Register the families and public functions of hemafeat in each group."""

from __future__ import annotations

import re

import numpy as np
from cells import LEVELS, Cell
from peers import Values, Work, peer
from whole import measure_values

from hemafeat import extract, segment
from hemafeat.extract._family import Family, choose, column_facts

FAMILIES = {
    "geometry": "shape",
    "lbp_box": "lbp",
    "glcm": "glcm",
    "glrlm": "glrlm",
    "glszm": "glszm",
    "gldm": "gldm",
    "ngtdm": "ngtdm",
    "first_order": "intensity",
    "density": "density",
    "colour": "colour",
    "dct": "dct",
    "gabor": "gabor",
    "zernike": "zernike",
}
"""Family of each group. If this version does not have it, the table says so."""

LBP = {"lbp_8": (8, 1), "lbp_16": (16, 2), "lbp_24": (24, 3)}


class NoFamily(LookupError):
    """A family that this version does not have."""


@peer("segmentation", tool="hemafeat", note="every nucleus and cell")
def segmentation(cell: Cell) -> Work:
    contours = segment.segmenter("contours")
    return Work(lambda: contours(cell.rgb), 2)


@peer(*LBP, tool="hemafeat", note="ties compared without rounding")
def lbp_exact(cell: Cell, group: str) -> Work:
    points, radius = LBP[group]
    return Work(lambda: extract.lbp_codes(cell.whole_grey, points, radius), 1)


@peer(*LBP, tool="hemafeat", variant="(its ties)", note="rounds as scikit-image, for comparison")
def lbp_rounded(cell: Cell, group: str) -> Work:
    points, radius = LBP[group]
    return Work(
        lambda: extract.lbp_codes(cell.whole_grey, points, radius, rounding="scikit-image"),
        1,
        lambda codes: {"codes": codes},
    )


@peer(*FAMILIES, tool="hemafeat", note="from RGB: pixels, levels and all")
def family_of_group(cell: Cell, group: str) -> Work:
    """Measure the family on the box of the nucleus, starting from RGB and labels."""
    name = FAMILIES[group]
    if name not in extract.families():
        raise NoFamily(f"this version has no family {name!r}")
    function = extract.families()[name]

    def call() -> np.ndarray:
        return _call_family(function, cell.prepared(), cell.inside)

    return Work(call, len(column_facts(name, function)) // _masks(function), _reader(cell, group))


@peer("everything", tool="hemafeat", variant="default", note="RGB; nucleus, cytoplasm and cell")
def default_families(cell: Cell) -> Work:
    families = choose("default")
    return Work(lambda: _all(cell, families), len(extract.columns("default")))


@peer("everything", tool="hemafeat", variant="all", note="RGB; nucleus, cytoplasm and cell")
def all_families(cell: Cell) -> Work:
    families = choose("all")
    return Work(lambda: _all(cell, families), len(extract.columns("all")))


def _all(cell: Cell, families: dict[str, Family]) -> np.ndarray:
    return measure_values(
        extract.Prepared(cell.rgb, cell.masks).window(cell.masks, cell.row), families
    )


def _masks(function: Family) -> int:
    return len(function.facts.masks) if function.facts.per_mask else 1


def _call_family(function: Family, prepared: extract.Prepared, labels: np.ndarray) -> np.ndarray:
    facts = function.facts
    if not facts.per_mask:
        masks = segment.Masks(labels, labels)
        return function(prepared if facts.prepared else prepared.rgb, masks, 1)[0]
    if not facts.planes:
        return function(prepared if facts.prepared else prepared.rgb, labels, 1)[0]
    return np.concatenate([function(prepared.plane(p), labels, 1)[0] for p in facts.planes])


def _reader(cell: Cell, group: str):
    """Return the function that names the values of a family."""
    function = extract.families()[FAMILIES[group]]
    columns = list(function.facts.columns)

    def by_name(row: np.ndarray) -> dict[str, float]:
        return dict(zip(columns, map(float, row), strict=False))

    def of_ibsi(row: np.ndarray, only: str = "") -> dict[str, float]:
        by_code: dict[str, float] = {}
        for name, value in zip(columns, row, strict=False):
            code = re.search(r"IBSI (\w{4})\b", function.facts.columns[name].source)
            if code and name.endswith(only):
                by_code.setdefault(code[1], float(value))
        return by_code

    if group == "first_order":
        return lambda row: of_ibsi(row, "__od_g")
    if group == "lbp_box":
        return lambda row: _histograms(by_name(row))
    if group in ("glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        # On an image with the levels that peers are given, see `Cell.levels`.
        def on_levels(_: np.ndarray) -> Values:
            values = _call_family(
                function, extract.Prepared(_image_of_levels(cell), white=cell.white), cell.inside
            )
            return of_ibsi(values) | _merged(cell, group)

        return on_levels
    return by_name


def _histograms(row: dict[str, float]) -> Values:
    return {
        f"riu2_p{p}": np.array([v for name, v in row.items() if name.startswith(f"riu2_p{p}_")])
        for p in (8, 16, 24)
    }


def _image_of_levels(cell: Cell) -> np.ndarray:
    """Return an RGB image whose optical density of green is quantised to ``cell.levels``."""
    greens = np.zeros((1, 256, 3), np.uint8)
    greens[0, :, 1] = np.arange(256)
    level_of = extract.Prepared(greens, white=cell.white).levels("od_g", LEVELS)[0]
    green_of = np.zeros(LEVELS, np.uint8)
    for green in range(256):
        green_of[level_of[green]] = green
    picture = np.zeros((*cell.levels.shape, 3), np.uint8)
    picture[:, :, 1] = green_of[cell.levels]
    return picture


def _merged(cell: Cell, group: str) -> Values:
    """Return the statistics of the summed matrix of all angles, the other option of the IBSI."""
    if group != "glcm":
        return {}
    matrix = extract.glcm_matrix(cell.levels, cell.inside, n_levels=int(cell.levels.max()) + 1)[
        0
    ].sum(axis=0)
    facts = extract.glcm.facts.columns
    return {
        f"{facts[f'{name}_d1'].source.split()[1].rstrip(';')} merged": float(value)
        for name, value in extract.glcm_statistics(matrix).items()
    }
