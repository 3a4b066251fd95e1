"""Feature families: functions that declare their columns, built in or from other packages."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np

from hemafeat._public import public
from hemafeat._words import suggestion
from hemafeat.extract._labels import fitting_labels, fitting_masks, number_of_cells
from hemafeat.extract._stability import robust_columns

if TYPE_CHECKING:
    import pandas as pd

GROUP = "hemafeat.families"
"""Group of entry points in which other packages register their families."""

MASKS = ("nucleus", "cytoplasm", "cell")
"""Names of the masks that a family can be measured on."""

PLANES = ("r", "g", "b", "grey", "od_r", "od_g", "od_b")
"""Names of the image planes that a family can be measured on, see `Prepared.plane`."""

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
    "lbp256": "hemafeat.extract._families.lbp:lbp256",
    "dct": "hemafeat.extract._families.dct:dct",
    "dct_zigzag": "hemafeat.extract._families.dct:dct_zigzag",
    "gabor": "hemafeat.extract._families.gabor:gabor",
    "zernike": "hemafeat.extract._families.zernike:zernike",
    "granulometry": "hemafeat.extract._families.granulometry:granulometry",
    "granules": "hemafeat.extract._families.granules:granules",
    "chromatin": "hemafeat.extract._families.chromatin:chromatin",
    "lobulation": "hemafeat.extract._families.lobulation:lobulation",
}
"""Families of this package, in the order of their columns. They are loaded when first used."""

SETS = ("fast", "default", "all", "robust")
"""Names of the sets of columns: from the smallest to all of them, and those of the default set that
another stain, scale, compression, focus or outline hardly moves."""

F = TypeVar("F", bound=Callable[..., Any])


class Family(Protocol):
    """A function that is declared with `family`."""

    __name__: str
    facts: Facts

    def __call__(self, image: Any, labels: Any, n_cells: int | None = None, /) -> Any:
        """Return an (n_cells, k) array of float64."""


@public
class FamilyError(ValueError):
    """Error raised for a family that does not exist, is declared twice, or breaks its contract."""


@public
@dataclass(frozen=True, slots=True)
class Column:
    """One number that a family gives per cell.

    Attributes
    ----------
    unit : str
        Factors separated by a space: ``"px"``, ``"px^2"``, ``"OD px^2"``, ``"rad"``, ``"1"``.
        Every power of ``px`` is converted to um if the scale of the image is known.
    formula : str
        How the number is computed, in one line.
    source : str
        Who defined it: an IBSI code, a function of scikit-image, a paper.
    meaning : str
        What the number means for a cell, in one sentence for a haematologist. Empty by default.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.Column("px^2", "number of pixels", "skimage.measure.regionprops")
    Column(unit='px^2', formula='number of pixels', source='skimage.measure.regionprops')
    """

    unit: str
    formula: str
    source: str = ""
    # Not in the representation, which decides whether a run can be resumed.
    meaning: str = field(default="", repr=False)


Call = tuple[str, str, tuple[int, ...]]
"""Mask and plane ("" if none) for which a family is called, and which columns are kept."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The declaration of a family; the attributes are the parameters of `family`.

    `default` and `fast` hold patterns, none if no column is in the set, and `kept` the calls whose
    columns are measured, if these are not all.
    """

    columns: Mapping[str, Column]
    masks: tuple[str, ...] = MASKS
    planes: tuple[str, ...] = ()
    per_mask: bool = True
    prepared: bool = False
    white: bool = False
    default: tuple[str, ...] = ("*",)
    fast: tuple[str, ...] = ()
    reference: str = ""
    kept: tuple[Call, ...] | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        """Calls of the function that fill the columns of the table, in their order."""
        if self.kept is not None:
            return self.kept
        every = tuple(range(len(self.columns)))
        masks = self.masks if self.per_mask else self.masks[:1]
        return tuple((mask, plane, every) for mask in masks for plane in self.planes or ("",))

    @property
    def width(self) -> int:
        """Number of columns in the table."""
        return sum(len(indices) for _, _, indices in self.calls)

    def patterns(self, set_name: str) -> tuple[str, ...]:
        """Return the patterns of the columns that are in one of `SETS`, except ``"robust"``."""
        if set_name == "all":
            return ("*",)
        return self.fast if set_name == "fast" else self.default

    def only(self, patterns: tuple[str, ...]) -> Facts:
        """Return the declaration reduced to the columns that match one of `patterns`.

        Raises
        ------
        FamilyError
            If a pattern matches no column.
        """
        matches = [re.compile(translate(pattern)).match for pattern in patterns]
        used = [False] * len(patterns)
        calls = []
        for mask, plane, indices in self.calls:
            kept = []
            names = self.names(mask, plane)
            for i in indices:
                hits = [match(names[i]) is not None for match in matches]
                used = [a or b for a, b in zip(used, hits, strict=True)]
                if any(hits):
                    kept.append(i)
            if kept:
                calls.append((mask, plane, tuple(kept)))
        if not all(used):
            raise FamilyError(
                f"the pattern {patterns[used.index(False)]!r} matches no column; the first is "
                f"{self.names(*self.calls[0][:2])[0]!r}"
            )
        return replace(self, kept=tuple(calls))

    def kept_names(self) -> list[str]:
        """Return the names of the columns that are measured, without that of the family."""
        return [self.names(mask, plane)[i] for mask, plane, indices in self.calls for i in indices]

    def names(self, mask: str, plane: str) -> list[str]:
        """Return the names of the columns of one call, without that of the family."""
        end = f"__{plane}" if plane else ""
        return [
            feature + end
            if not self.per_mask and feature.split("__", 1)[0] in MASKS
            else f"{mask}__{feature}{end}"
            for feature in self.columns
        ]


def family(
    columns: Mapping[str, Column],
    *,
    masks: Iterable[str] = MASKS,
    planes: Iterable[str] = (),
    per_mask: bool = True,
    prepared: bool = False,
    white: bool = False,
    default: bool | Iterable[str] = True,
    fast: bool | Iterable[str] = False,
    reference: str = "",
) -> Callable[[F], F]:
    """Declare a function ``f(image, labels, n_cells) -> (n_cells, k) float64`` as a family.

    Parameters
    ----------
    columns : mapping of str to Column
        The k columns by name, in the order of the array that the function returns. With
        ``per_mask=False`` a name may begin with the mask that is measured, ``"nucleus__name"``.
    masks : sequence of {"nucleus", "cytoplasm", "cell"}
        Masks to measure, with one call of the function for each; by default all three. With
        ``per_mask=False`` the first one is the mask of the columns that do not name theirs.
    planes : sequence of str
        Names of image planes, see `PLANES`. The function is called once per plane with an (H, W)
        array, and each column name ends in ``__plane``. By default it is called with the
        (H, W, 3) uint8 image.
    per_mask : bool
        False calls the function once, as ``f(image, masks, n_cells)`` with the `Masks`, for
        features that need more than one mask, such as a ratio of nucleus to cell. Default True.
    prepared : bool
        True passes the image as a `Prepared`, which holds what families share. Default False.
    white : bool
        True declares that the values depend on the background through its white level, as optical
        density does. Default False.
    default : bool or sequence of str
        Columns in the set ``"default"``: all (True, the default), none (False), or those that match
        a pattern of `fnmatch`, such as ``"nucleus__*"`` or ``"*__mean__od_g"``. Patterns are
        matched to names without that of the family. A function with a parameter ``wanted`` is given
        the names of the columns in the set, and may leave NaN in others.
    fast : bool or sequence of str
        Columns in the set ``"fast"``, which are informative for their cost: those of `default`
        (True), none (False, the default), or those of them that match a pattern.
    reference : str
        Publication of the definitions.

    Returns
    -------
    callable
        A decorator. It returns the function, with the declaration as its attribute ``facts``, and
        lets it see only labels that fit the image: (H, W) int32, contiguous, 0 to `n_cells`, which
        is given and above 0. Others are converted or refused with a `hemafeat.segment.MaskError`;
        without a cell the result has no rows.

    Raises
    ------
    FamilyError
        A pattern matches no column, or one that matches `fast` is not in the set ``"default"``.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> @extract.family({"pixels": extract.Column("px^2", "number of pixels")}, masks=["cell"])
    ... def size(image, labels, n_cells=None):
    ...     '''Measure the size of each cell.'''
    ...     return np.bincount(labels.ravel(), minlength=n_cells + 1)[1:, None].astype(float)
    >>> extract.columns([size])
    ['cell__size__pixels']
    """
    in_default = _patterns(default or fast)
    facts = Facts(
        dict(columns),
        tuple(masks),
        tuple(planes),
        per_mask=per_mask,
        prepared=prepared,
        white=white,
        default=in_default,
        fast=in_default if fast is True else _patterns(fast),
        reference=reference,
    )
    # Also finds patterns that match nothing.
    kept = [set(facts.only(facts.patterns(name)).kept_names()) for name in ("fast", "default")]
    if not kept[0] <= kept[1]:
        raise FamilyError(
            f"{min(kept[0] - kept[1])!r} matches `fast`, but is not in the default set"
        )

    def declare(function: F) -> F:
        function.facts = facts  # type: ignore[attr-defined]
        return _checked(function, facts) if inspect.isfunction(function) else function

    return declare


def _patterns(default: bool | Iterable[str]) -> tuple[str, ...]:
    """Return the argument `default` of `family` as patterns."""
    if isinstance(default, bool):
        return ("*",) if default else ()
    return (default,) if isinstance(default, str) else tuple(default)


class PartOfFamily:
    """A family of which some columns are measured: those that match one of `patterns`.

    Attributes
    ----------
    function : callable
        The family. A call returns all its columns. If it has a parameter `wanted`, it is told
        the names of those that are measured, and others may be NaN.
    facts : Facts
        Its declaration, of which `calls` is reduced.
    options : dict
        Arguments of each call: `wanted` if the family has it.
    """

    def __init__(self, function: Family, patterns: tuple[str, ...]) -> None:
        self.function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.facts = function.facts.only(patterns)
        self.options: dict[str, Any] = {}
        if "wanted" in inspect.signature(function).parameters:
            names = list(function.facts.columns)
            kept = {index for _, _, indices in self.facts.calls for index in indices}
            self.options["wanted"] = frozenset(names[index] for index in kept)

    def __call__(self, image: Any, labels: Any, n_cells: int | None = None, /) -> Any:
        """Return an (n_cells, k) array of float64."""
        return self.function(image, labels, n_cells, **self.options)


@cache
def _part(function: Any, patterns: tuple[str, ...]) -> PartOfFamily:
    """Return a part of a family, for equal patterns the same object: they are matched once."""
    return PartOfFamily(function, patterns)


def whole_family(function: Family) -> Family:
    """Return the family of which `function` may be a part."""
    return function.function if isinstance(function, PartOfFamily) else function


def _checked(function: F, facts: Facts) -> F:
    """Return `function` behind the check that its labels fit its image."""

    @functools.wraps(function)
    def call(image: Any, labels: Any, n_cells: int | None = None, **options: Any) -> Any:
        # `Prepared` remembers what was checked, and is not imported here, since it imports PLANES.
        check = getattr(image, "checked_labels" if facts.per_mask else "checked_masks", None)
        if check is not None:
            labels, n_cells = check(labels, n_cells)
        else:
            shape = np.shape(image)
            if facts.per_mask:
                labels, largest = fitting_labels(labels, shape)
            else:
                largest = fitting_masks(labels, shape).n_cells
            n_cells = number_of_cells(n_cells, largest, shape[0] * shape[1])
        if n_cells == 0:
            return np.empty((0, len(facts.columns)))
        return function(image, labels, n_cells, **options)

    return cast(F, call)


class Families(dict[str, Family]):
    """Families by name; the representation is a table of their columns and costs."""

    def frame(self) -> pd.DataFrame:
        """Return a table of the families.

        Returns
        -------
        DataFrame
            One row per family. Index ``family``; ``columns`` (number of columns), ``default`` and
            ``fast`` (number of those in these sets), ``masks``, ``ms`` and ``decodes`` (cost of all
            its columns for one cell in milliseconds, and as a multiple of the time to decode its
            JPEG, measured by ``benchmarks/speed``; NaN if it was not measured),
            ``what`` (first line of the docstring).
        """
        import pandas as pd

        costs = _costs()["families"]
        rows = [
            {
                "family": name,
                "columns": function.facts.width,
                **{
                    set_name: function.facts.only(function.facts.patterns(set_name)).width
                    for set_name in ("default", "fast")
                },
                "masks": ", ".join(function.facts.masks),
                "ms": costs.get(name, {}).get("ms", float("nan")),
                "decodes": costs.get(name, {}).get("decodes", float("nan")),
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
    text = files("hemafeat.extract").joinpath("_costs.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def families() -> Families:
    """Return all families: those of this package, then those of other packages by name.

    Returns
    -------
    dict of str to function
        Each function carries its declaration as the attribute ``facts``. The representation is a
        table with the measured cost of each family; ``families().frame()`` returns it as a
        DataFrame.

    Raises
    ------
    FamilyError
        Two packages register the same name, or an entry point is not a family.

    Examples
    --------
    >>> from hemafeat import extract
    >>> list(extract.families())[:3]
    ['shape', 'boundary', 'lobes']
    >>> extract.families().frame().loc[["shape"], ["columns", "default", "fast"]]
            columns  default  fast
    family
    shape        64       43    43
    """
    points = [EntryPoint(name, path, GROUP) for name, path in BUILT_IN.items()]
    points += sorted(entry_points(group=GROUP), key=lambda point: point.name)
    by_name = Families()
    for point in points:
        if point.name in by_name:
            raise FamilyError(f"two families are called {point.name!r}; one is {point.value}")
        if not point.name.isidentifier() or "__" in point.name or point.name in SETS:
            raise FamilyError(
                f"{point.name!r} cannot be the name of a family, which is part of column names"
            )
        by_name[point.name] = _check_declared(point.load(), point.value)
    return by_name


def choose(selection: str | Iterable[str | Callable[..., Any]]) -> dict[str, Family]:
    """Return the families of a selection: one of `SETS`, or a list of sets, names and functions.

    A family of which a set holds some columns is a `PartOfFamily`, unless it is named as well.
    """
    by_name = families()
    chosen: dict[str, Family] = {}
    patterns: dict[str, dict[str, None]] = {}
    for item in [selection] if isinstance(selection, str) else selection:
        if callable(item):
            chosen[item.__name__] = _check_declared(item, repr(item))
        elif item in SETS:
            for name, function in by_name.items():
                found = _robust(name) if item == "robust" else function.facts.patterns(item)
                patterns.setdefault(name, {}).update(dict.fromkeys(found))
        elif item in by_name:
            chosen[item] = by_name[item]
        else:
            raise FamilyError(
                f"there is no family {item!r}; "
                + suggestion(item, [*by_name, *SETS], "the families and sets are")
            )
    for name, wanted in patterns.items():
        if wanted and name not in chosen:
            function = by_name[name]
            chosen[name] = function if "*" in wanted else _part(cast(Any, function), tuple(wanted))
    # The order of a caller's list must not change the table.
    order = {name: position for position, name in enumerate(by_name)}
    return dict(sorted(chosen.items(), key=lambda pair: order.get(pair[0], len(order))))


@cache
def _robust(name: str) -> tuple[str, ...]:
    """Return the columns of a family in the set ``"robust"``, without its name."""
    if name not in BUILT_IN:
        return ()  # nobody has measured them
    function = families()[name]
    default = set(function.facts.only(function.facts.default).kept_names())
    stable = robust_columns()
    by_name = ((column, column.replace(f"__{name}__", "__", 1)) for column in stable)
    # Only those of this family have a name without it that differs.
    return tuple(sorted(rest for column, rest in by_name if rest != column and rest in default))


def _check_declared(function: Any, name: str) -> Family:
    if not isinstance(getattr(function, "facts", None), Facts):
        raise FamilyError(f"{name} is not a family: decorate it with extract.family")
    return cast(Family, function)


def column_facts(name: str, function: Family) -> dict[str, tuple[str, str, Column]]:
    """Return mask, plane ("" if none) and declaration of each column of a family, in table order.

    The result is part of the fingerprint of a run: its representation must not change.
    """
    facts = function.facts
    declared = list(facts.columns.values())
    by_column: dict[str, tuple[str, str, Column]] = {}
    for mask, plane, indices in facts.calls:
        names = facts.names(mask, plane)
        for i in indices:
            measured, rest = names[i].split("__", 1)
            by_column[f"{measured}__{name}__{rest}"] = (measured, plane, declared[i])
    return by_column
