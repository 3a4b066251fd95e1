"""What a family is: a plain function that declares its columns; built-in and plugged-in ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from hemafeat._public import public

if TYPE_CHECKING:
    import pandas as pd

GROUP = "hemafeat.families"

MASKS = ("nucleus", "cytoplasm", "cell")

BUILT_IN = {
    "shape": "hemafeat.extract._families.shape:shape",
    "boundary": "hemafeat.extract._families.boundary:boundary",
    "lobes": "hemafeat.extract._families.lobes:lobes",
    "relation": "hemafeat.extract._families.relation:relation",
    "rim": "hemafeat.extract._families.rim:rim",
    "colour": "hemafeat.extract._families.colour:colour",
    "profile": "hemafeat.extract._families.profile:profile",
    "stain": "hemafeat.extract._families.stain:stain",
    "tavakoli": "hemafeat.extract._families.tavakoli:tavakoli",
    "density": "hemafeat.extract._families.density:density",
    "density_natural": "hemafeat.extract._families.density:density_natural",
    "intensity": "hemafeat.extract._families.intensity:intensity",
    "glcm": "hemafeat.extract._families.glcm:glcm",
    "glrlm": "hemafeat.extract._families.glrlm:glrlm",
    "glszm": "hemafeat.extract._families.glszm:glszm",
    "gldm": "hemafeat.extract._families.gldm:gldm",
    "ngtdm": "hemafeat.extract._families.ngtdm:ngtdm",
    "lbp": "hemafeat.extract._families.lbp:lbp",
    "dct": "hemafeat.extract._families.dct:dct",
    "dct_zigzag": "hemafeat.extract._families.dct:dct_zigzag",
    "gabor": "hemafeat.extract._families.gabor:gabor",
    "zernike": "hemafeat.extract._families.zernike:zernike",
    "granulometry": "hemafeat.extract._families.granulometry:granulometry",
    "granules": "hemafeat.extract._families.granules:granules",
    "chromatin": "hemafeat.extract._families.chromatin:chromatin",
    "lobulation": "hemafeat.extract._families.lobulation:lobulation",
}
"""Families of this package, in the order of their columns. Loaded when first used."""

SETS = ("fast", "default", "all")
"""Named sets of families, from the cheapest to the whole catalogue."""

F = TypeVar("F", bound=Callable[..., Any])


class Family(Protocol):
    """A function that `family` has declared."""

    __name__: str
    facts: Facts

    def __call__(self, image: Any, labels: Any, n_cells: int | None = None, /) -> Any:
        """(n_cells, k) float64."""


@public
class FamilyError(ValueError):
    """A family that is unknown, declared twice, or breaks its contract."""


@public
@dataclass(frozen=True, slots=True)
class Column:
    """One number a family gives per cell.

    Attributes
    ----------
    unit : str
        Factors separated by a space: ``"px"``, ``"px^2"``, ``"OD px^2"``, ``"rad"``, ``"1"``.
        Every power of ``px`` follows `um_per_px`.
    formula : str
        How it is computed, in one line.
    source : str
        Who defined it: an IBSI code, a function of scikit-image, a paper.
    """

    unit: str
    formula: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a family declares about itself; nothing of it is guessed from its signature."""

    columns: Mapping[str, Column]
    masks: tuple[str, ...] = MASKS
    planes: tuple[str, ...] = ()
    per_mask: bool = True
    prepared: bool = False
    white: bool = False
    default: bool = True
    fast: bool = False
    reference: str = ""

    @property
    def width(self) -> int:
        """Number of columns in the table."""
        masks = len(self.masks) if self.per_mask else 1
        return masks * max(1, len(self.planes)) * len(self.columns)

    def within(self, which: str) -> bool:
        """Whether the family belongs to the set named `which`."""
        return {"fast": self.fast, "default": self.default, "all": True}[which]


def family(
    columns: Mapping[str, Column],
    *,
    masks: Iterable[str] = MASKS,
    planes: Iterable[str] = (),
    per_mask: bool = True,
    prepared: bool = False,
    white: bool = False,
    default: bool = True,
    fast: bool = False,
    reference: str = "",
) -> Callable[[F], F]:
    """Declare a function ``f(image, labels, n_cells) -> (n_cells, k) float64`` a family.

    The function itself is returned, with the declaration as its attribute ``facts``.

    Parameters
    ----------
    columns : mapping of str to Column
        The k columns, in the order of the array returned.
    masks : sequence of {"nucleus", "cytoplasm", "cell"}
        The masks it is measured on, one call for each. With ``per_mask=False`` the first one names
        the columns.
    planes : sequence of str
        Names of image planes (see `Prepared.plane`). When given, the function is called once per
        plane with an (H, W) array, and each column name ends in ``__plane``. Otherwise it is called
        with the (H, W, 3) uint8 image.
    per_mask : bool
        False: one call ``f(image, masks, n_cells)`` with the whole `Masks` (a ratio of nucleus to
        cell, say).
    prepared : bool
        True: the image is passed as a `Prepared`, which holds what families share.
    white : bool
        True: the values depend on the background through its white level (optical density).
    default : bool
        False keeps a costly family out of the default table.
    fast : bool
        True: it is in the small set ``"fast"`` too, of families that tell most for their time.
    reference : str
        Where the definitions are published.
    """
    facts = Facts(
        dict(columns),
        tuple(masks),
        tuple(planes),
        per_mask=per_mask,
        prepared=prepared,
        white=white,
        default=default or fast,
        fast=fast,
        reference=reference,
    )

    def declare(function: F) -> F:
        function.facts = facts  # type: ignore[attr-defined]
        return function

    return declare


class Families(dict[str, Family]):
    """Families by name; printed, a table of what each one gives and costs."""

    def frame(self) -> pd.DataFrame:
        """One row per family.

        Returns
        -------
        DataFrame
            Index ``family``; ``columns`` (how many it gives), ``masks``, ``set`` (the smallest of
            `SETS` it belongs to), ``ms`` and ``decodes`` (measured cost of a cell in milliseconds
            and as a multiple of decoding its JPEG, by ``benchmarks/speed``; NaN where nobody has
            measured it), ``what``.
        """
        import pandas as pd

        measured = _costs()["families"]
        rows = [
            {
                "family": name,
                "columns": function.facts.width,
                "masks": ", ".join(function.facts.masks),
                "set": next(which for which in SETS if function.facts.within(which)),
                "ms": measured.get(name, {}).get("ms", float("nan")),
                "decodes": measured.get(name, {}).get("decodes", float("nan")),
                "what": (function.__doc__ or "").strip().split("\n")[0].rstrip("."),
            }
            for name, function in self.items()
        ]
        return pd.DataFrame(rows).set_index("family")

    def __repr__(self) -> str:
        text = self.frame().drop(columns="what").to_string(float_format="{:.2f}".format, na_rep="")
        return f"{text}\nCost of one cell: {_costs()['image']}."

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(float_format="{:.2f}".format, na_rep=""))


@cache
def _costs() -> dict[str, Any]:
    found = files("hemafeat.extract").joinpath("_costs.json").read_text(encoding="utf-8")
    return dict(json.loads(found))


@cache
def families() -> Families:
    """Every family by name: those of this package, then the plugged-in ones in order of name.

    Returns
    -------
    dict of str to function
        Each function carries its declaration as ``facts``. Printed, it is a table with the measured
        cost of each family; ``families().frame()`` is the same as a DataFrame.

    Raises
    ------
    FamilyError
        Two packages offer the same name, or an entry point is not a family.
    """
    points = [EntryPoint(name, where, GROUP) for name, where in BUILT_IN.items()]
    points += sorted(entry_points(group=GROUP), key=lambda point: point.name)
    found = Families()
    for point in points:
        if point.name in found:
            raise FamilyError(f"two families are called {point.name!r}; one is {point.value}")
        if not point.name.isidentifier() or "__" in point.name or point.name in SETS:
            raise FamilyError(f"{point.name!r} cannot name a family: it stands inside column names")
        function = point.load()
        if not isinstance(getattr(function, "facts", None), Facts):
            raise FamilyError(f"{point.value} is not a family: decorate it with extract.family")
        found[point.name] = cast(Family, function)
    return found


def chosen(which: str | Iterable[str | Callable[..., Any]]) -> dict[str, Family]:
    """The families a caller means: a name of `SETS`, names of families, functions, or a list."""
    known = families()
    wanted: dict[str, Family] = {}
    for item in [which] if isinstance(which, str) else which:
        if callable(item):
            if not isinstance(getattr(item, "facts", None), Facts):
                raise FamilyError(f"{item!r} is not a family: decorate it with extract.family")
            wanted[item.__name__] = cast(Family, item)
        elif item in SETS:
            wanted |= {name: f for name, f in known.items() if f.facts.within(item)}
        elif item in known:
            wanted[item] = known[item]
        else:
            raise FamilyError(
                f"no family {item!r}; there are: {', '.join(known)} (and the sets "
                f"{', '.join(SETS)})"
            )
    # The order of a caller's list must not change the table.
    order = {name: place for place, name in enumerate(known)}
    return dict(sorted(wanted.items(), key=lambda pair: order.get(pair[0], len(order))))


def column_facts(name: str, function: Family) -> dict[str, tuple[str, str, Column]]:
    """Full column name to (mask, plane or "", declaration) for one family, in table order."""
    facts = function.facts
    found: dict[str, tuple[str, str, Column]] = {}
    for mask in facts.masks if facts.per_mask else facts.masks[:1]:
        for plane in facts.planes or ("",):
            for feature, column in facts.columns.items():
                end = f"__{plane}" if plane else ""
                found[f"{mask}__{name}__{feature}{end}"] = (mask, plane, column)
    return found
