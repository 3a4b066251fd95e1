"""Columns of earlier versions: former names and units, and columns whose values have changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from hemafeat.extract._family import MASKS

_INTENSITY = (
    *("mean", "variance", "sd", "skewness", "kurtosis", "median", "minimum", "percentile_10"),
    *("percentile_90", "maximum", "interquartile_range", "range", "mean_absolute_deviation"),
    *("robust_mean_absolute_deviation", "median_absolute_deviation", "coefficient_of_variation"),
    *("quartile_coefficient_of_dispersion", "energy", "root_mean_square", "entropy", "uniformity"),
)
_STAINS = {
    **{dye: dye for dye in ("azure", "eosin", "residual")},
    "macenko_azure": "macenko_bluer",
    "macenko_eosin": "macenko_redder",
    "macenko_residual": "macenko_residual",
}

RENAMED = {
    "nucleus__tavakoli__circularity": "nucleus__tavakoli__circularity_inverse",
    **{
        f"nucleus__lobulation__roundness_at_{share}": f"nucleus__lobulation__circularity_d{share}"
        for share in (20, 35, 50, 65, 80)
    },
    **{
        f"{mask}__intensity__{statistic}__{c}": f"{mask}__intensity__{statistic}__od_{c}"
        for mask in MASKS
        for statistic in _INTENSITY
        for c in "rgb"
    },
    **{
        f"{mask}__{family}__p{share}__{c}": f"{mask}__{family}__percentile_{share}__{c}"
        for mask in MASKS
        for family in ("density", "density_natural")
        for share in (10, 90)
        for c in "rgb"
    },
    **{
        f"cell__stain__{part}_{former}_{statistic}": f"{part}__stain__{current}_{statistic}"
        for part in ("nucleus", "cytoplasm")
        for former, current in _STAINS.items()
        for statistic in ("mean", "sd")
    },
    **{
        f"cell__stain__macenko_{former}_{c}": f"cell__stain__macenko_{current}_{c}"
        for former, current in (("azure", "bluer"), ("eosin", "redder"))
        for c in "rgb"
    },
    "cell__stain__eosinophilia": "cytoplasm__stain__eosin_share",
    "cell__stain__macenko_eosinophilia": "cytoplasm__stain__macenko_redder_share",
    "cell__stain__cytoplasm_u_skewness": "cytoplasm__stain__u_skewness",
}

_LOBES = {
    "n_segments": "n_lobes_filament_rule",
    "isthmus_ratio": "narrowest_isthmus_ratio",
    "isthmus_ratio_2": "second_narrowest_isthmus_ratio",
    "isthmus_ratio_3": "third_narrowest_isthmus_ratio",
    **{f"core_fraction_{r}": f"core_fraction_r{r}" for r in (20, 30, 40, 50, 60)},
    **{f"n_cores_{r}": f"n_cores_r{r}" for r in (20, 40)},
}
_LOBULATION = {
    **_LOBES,
    "n_lobes": "n_dense_parts",
    "n_segments": "n_dense_parts_filament_rule",
    **{
        name: name
        for name in (
            *("inscribed_ratio", "depth_mean_ratio", "depth_cv"),
            *("area_ratio", "solidity", "circularity", "n_holes"),
        )
    },
}
_SPOTS = {
    "count": "count",
    "density": "count_per_area",
    "cover": "cover",
    "diameter_mean": "diameter_mean",
    "diameter_sd": "diameter_sd",
    "contrast": "od_rise_mean",
    "red_share": "reddish_share",
    "dark_share": "bluish_share",
    "red_to_green": "red_to_green",
    "blue_to_green": "blue_to_green",
}
RENAMED |= {
    **{
        f"{mask}__boundary__hu_{k}": f"{mask}__boundary__hu_{k}_signed_log"
        for mask in ("nucleus", "cell")
        for k in range(1, 8)
    },
    **{f"nucleus__lobes__{former}": f"nucleus__lobes__{name}" for former, name in _LOBES.items()},
    **{
        f"nucleus__lobes__path_{name}": f"nucleus__lobes__skeleton_path_{name}"
        for name in ("length", "tortuosity", "slenderness", "width_cv", "width_ratio")
    },
    "nucleus__lobes__path_turn": "nucleus__lobes__skeleton_path_turn_net",
    "nucleus__lobes__path_bending": "nucleus__lobes__skeleton_path_turn_total",
    "nucleus__lobes__horseshoe_angle": "nucleus__lobes__open_angle_from_hull_centroid",
    "nucleus__lobes__centroid_depth_ratio": "nucleus__lobes__depth_at_centroid_ratio",
    "nucleus__lobes__hull_centroid_depth_ratio": "nucleus__lobes__depth_at_hull_centroid_ratio",
    "nucleus__lobes__centroid_gap_ratio": "nucleus__lobes__centroid_outside_ratio",
    **{
        f"nucleus__lobulation__{former}_at_{share}": f"nucleus__lobulation__{name}_d{share}"
        for share in (20, 35, 50, 65, 80)
        for former, name in _LOBULATION.items()
    },
    **{
        f"cell__relation__nc_ratio_{former}": f"cell__relation__nucleus_to_{name}_ratio"
        for former, name in (
            ("area", "cell_area"),
            ("cytoplasm", "cytoplasm_area"),
            ("diameter", "cell_diameter"),
        )
    },
    "cell__relation__border_contact": "nucleus__relation__border_contact",
    "cell__relation__roc_fraction": "nucleus__relation__convex_deficiency",
    "cell__relation__cytoplasm_area": "cytoplasm__relation__area",
    "cell__relation__cytoplasm_thickness_area": "cytoplasm__relation__thickness_from_area",
    **{
        f"cell__relation__cytoplasm_thickness_{name}": f"cytoplasm__relation__thickness_{name}"
        for name in ("mean", "min", "max", "cv")
    },
    "cell__relation__delta_e_cytoplasm_background": "cytoplasm__relation__delta_e_background",
    "cell__rim__thickness_p10": "cytoplasm__rim__thickness_percentile_10",
    "cell__rim__thickness_median": "cytoplasm__rim__thickness_median",
    "cell__rim__thickness_p90": "cytoplasm__rim__thickness_percentile_90",
    "cell__rim__bare_fraction": "cytoplasm__rim__bare_fraction",
    "cell__rim__cap_angle": "cytoplasm__rim__bare_angle",
    **{
        f"cell__rim__thickness_lean_{k}": f"cytoplasm__rim__thickness_harmonic_{k}"
        for k in (1, 2, 3)
    },
    "cell__rim__nucleus_gap_angle": "nucleus__rim__open_angle_from_cell_centroid",
    "cell__rim__villi_index": "cell__rim__perimeter_excess",
    **{
        f"cell__profile__nucleus_{name}": f"nucleus__profile__{name}"
        for name in (
            *(f"radial_od_{k}" for k in range(1, 9)),
            *("radial_cv", "radial_slope", "edge_gradient"),
            *(f"mass_displacement_{c}" for c in ("r", "g", "b", "mean")),
        )
    },
    **{
        f"cell__profile__cell_{name}": f"cell__profile__{name}"
        for name in (
            "edge_gradient",
            *(f"mass_displacement_{c}" for c in ("r", "g", "b", "mean")),
        )
    },
    "cell__profile__perinuclear_halo": "cytoplasm__profile__perinuclear_od_difference",
    "cell__profile__pale_zone": "cytoplasm__profile__pale_zone",
    **{
        f"nucleus__tavakoli__{code}_{statistic}_{former}_hull": (
            f"nucleus__tavakoli__{code}_{statistic}_{name}_to_hull"
        )
        for code in ("r", "g", "b", "h", "s", "v", "lab_l", "lab_a", "lab_b", "y", "cr", "cb")
        for statistic in ("mean", "sd")
        for former, name in (("nucleus", "nucleus"), ("roc", "rest"))
    },
    **{
        f"cytoplasm__granules__{prefix}{former}": f"{mask}__granules__dark_spot_{name}"
        for prefix, mask in (("", "cytoplasm"), ("over_cell_", "cell"))
        for former, name in _SPOTS.items()
    },
    **{
        f"cytoplasm__granules__vacuole_{name}": f"cell__granules__vacuole_{name}"
        for name in ("count", "area_fraction", "area_max")
    },
    **{
        f"nucleus__chromatin__{former}": f"nucleus__chromatin__{name}"
        for former, name in (
            ("clump_fraction", "fraction_above_mean_plus_sd"),
            ("dense_fraction", "fraction_above_mean_plus_1_5_sd"),
            ("clump_count", "dark_part_count"),
            ("clump_density", "dark_part_count_per_area"),
            ("clump_area_mean", "dark_part_area_mean"),
            ("nucleolus_count", "pale_spot_count"),
            ("nucleolus_area_fraction", "pale_spot_area_fraction"),
            ("nucleolus_area_max", "pale_spot_area_max"),
        )
    },
}
"""Current name of each column that was renamed, by its former name."""

FORMER_SETS = {
    "fast": ("shape", "colour", "density", "intensity", "glcm", "gldm"),
    "default": (
        *("shape", "boundary", "lobes", "relation", "rim", "colour", "profile", "stain"),
        *("tavakoli", "density", "intensity", "glcm", "glrlm", "glszm", "gldm", "ngtdm", "lbp"),
        *("dct", "granulometry", "granules", "chromatin", "lobulation"),
    ),
}
"""Families whose columns, all of them, were the sets until 0.2.0."""

_FORMER_UNITS = (
    (re.compile(r"__colour__(mean|sd)__[rgb]$"), "intensity", "level"),
    (re.compile(r"__(glcm|glrlm|glszm|gldm|lbp|granulometry)__\w*entropy\w*$"), "1", "bit"),
    (re.compile(r"__dct__spectral_centroid$"), "1", "half-cycles per box"),
    (re.compile(r"__intensity__energy__od_[rgb]$"), "OD^2", "OD^2 px^2"),
)
"""Columns, former unit, and current unit of the same values.

Energies were sums over pixels whether or not the table was in um.
"""

FORMULAS = 2
"""Version of the values of all columns, stored with each table; 1 where it is not stored."""

_LEVELS_OF_DENSITY = (
    *("mean", "median", "minimum", "maximum", "percentile_*", "coefficient_of_variation"),
    *("quartile_coefficient_of_dispersion", "energy", "root_mean_square", "entropy", "uniformity"),
)

CHANGED = dict.fromkeys(
    [
        # The background white is measured on all pixels, and what depends on it has changed with
        # it. Differences of densities (standard deviations, slopes, gradients) do not.
        *("quality__white_?", "*__stain__*", "*__tavakoli__*_to_hull"),
        *(f"*__density*__{name}__?" for name in ("mean", "percentile_?0", "integrated")),
        *(f"*__intensity__{name}__od_?" for name in _LEVELS_OF_DENSITY),
        *("*__profile__radial_od_?", "*__profile__radial_cv"),
        *("*__glcm__*", "*__glrlm__*", "*__glszm__*", "*__gldm__*", "*__ngtdm__*"),
        *("*__zernike__od_*", "*__granulometry__*", "*__granules__*", "*__chromatin__*"),
        "*__relation__delta_e_background",
        # They do not change any more when an image is turned or mirrored.
        *("*__lobulation__*", "*__lobes__*lobe*", "*__lobes__skeleton_*", "*__dct__block_*"),
        *("*__dct_zigzag__block_*", "*__profile__pale_zone", "*__profile__m??or_axis_*"),
        # Half a pixel is taken off every depth.
        *("*__lobes__*isthmus_ratio", "*__lobes__n_cores_r*", "*__lobes__depth_at_*"),
        *("*__boundary__hu_[2-7]_signed_log", "*__rim__*projection_fraction"),
        # Gaps of less than 5 degrees are seen.
        "*__open_angle_from_*",
    ],
    2,
)
"""Value of `FORMULAS` from which on columns have other values, by a pattern of their current names.

A pattern is that of `fnmatch`: ``"*__shape__solidity"``, ``"nucleus__glcm__*"``.
"""


def current_names(columns: Iterable[str]) -> list[str]:
    """Replace former names of feature columns by their current names.

    Parameters
    ----------
    columns : iterable of str
        Names of columns, such as those of a saved table or of a model fitted with an earlier
        version.

    Returns
    -------
    list of str
        The names in the same order. A name that was never changed, or is not known, is returned
        as it is.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.current_names(["nucleus__tavakoli__circularity", "cell__shape__area", "age"])
    ['nucleus__tavakoli__circularity_inverse', 'cell__shape__area', 'age']
    """
    return [RENAMED.get(name, name) for name in columns]


def current_units(units: Mapping[str, str]) -> dict[str, str]:
    """Replace former units of feature columns by those that they are called now.

    Parameters
    ----------
    units : mapping of str to str
        Unit by column, such as those of a saved table or model. Names of columns may be former or
        current ones.

    Returns
    -------
    dict of str to str
        Units by the same names. Only units of which the values did not change are replaced.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.current_units({"cell__colour__mean__r": "intensity", "cell__shape__area": "px^2"})
    {'cell__colour__mean__r': 'level', 'cell__shape__area': 'px^2'}
    """
    current = dict(units)
    for name, unit in units.items():
        for columns, former, now in _FORMER_UNITS:
            if unit == former and columns.search(RENAMED.get(name, name)):
                current[name] = now
    return current


def changed_columns(names: Iterable[str], formulas: int) -> list[str]:
    """Return the columns whose values were computed differently in an earlier version.

    Parameters
    ----------
    names : iterable of str
        Current names of feature columns.
    formulas : int
        `FORMULAS` of the version that measured them. Tables and models store it.

    Returns
    -------
    list of str
        Those of the columns that have other values since, in the same order.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.changed_columns(["nucleus__shape__area", "nucleus__lobes__n_lobes"], 1)
    ['nucleus__lobes__n_lobes']
    """
    patterns = [pattern for pattern, since in CHANGED.items() if since > formulas]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
