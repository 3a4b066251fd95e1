"""Names and values of other tools, as the page for their users states them."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops_table

from hemafeat import datasets, extract, segment

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "coming_from.md"
KINDS = ("lymphocyte", "monocyte", "neutrophil")
FAMILIES = ["shape", "boundary", "lobes", "tavakoli", "density", "intensity", "zernike"]
FAMILIES += ["glcm", "glrlm", "glszm", "gldm", "ngtdm"]
LEVEL = 1.5 / 32
NOT_OF_NUCLEI = ("label", "centroid", "bbox", "orientation")


def rows(tool: str) -> list[tuple[list[str], list[str], str]]:
    """Return names there, names here and the value of each row of a table of the page."""
    text = PAGE.read_text("utf-8").split(f"| {tool} | value here | hemafeat |\n|---|---|---|\n")[1]
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text.split("\n\n")[0], re.MULTILINE)
    assert len(lines) == text.split("\n\n")[0].strip().count("\n") + 1
    return [(re.findall("`(.+?)`", a), re.findall("`(.+?)`", b), how) for a, how, b in lines]


@pytest.fixture(scope="module")
def cells():
    drawn = [datasets.draw_cell(kind, random_state=k) for k, kind in enumerate(KINDS)]
    masks = [segment.Masks(cell.cell, cell.nucleus) for cell in drawn]
    here = extract.table([c.image for c in drawn], masks=masks, families=FAMILIES)
    planes = [
        extract.Prepared(cell.image, mask).plane("od_g").astype(np.float64)
        for cell, mask in zip(drawn, masks, strict=True)
    ]
    return here, planes, [mask.nucleus for mask in masks], [mask.cell for mask in masks]


def agree(tool: str, there: pd.DataFrame, here: pd.DataFrame) -> set[str]:
    """Check the rows of the page that state a value, and return the names there of these."""
    done = set()
    for names, columns, how in rows(tool):
        formulas = ["x"] if how == "equal" else re.findall("`(.+?)`", how)
        if not formulas or names[0] not in there:
            continue
        done.add(names[0])
        x = there[names[0]].to_numpy(np.float64)
        value = here[columns[0]].to_numpy(np.float64)
        functions = {"x": x, "abs": np.abs, "sign": np.sign, "log10": np.log10}
        bounds = [eval(formula, {"__builtins__": {}}, functions) for formula in formulas]
        if len(bounds) == 1:
            # Planes are float32, and the constants of the page have five digits.
            np.testing.assert_allclose(value, bounds[0], rtol=2e-5, atol=1e-6, err_msg=names[0])
        else:
            low, high = bounds
            assert ((low <= value) & (value <= high)).all(), (names, value / x)
    return done


def test_every_name_of_the_page_is_a_column():
    known = set(extract.columns("all"))
    for tool in ("regionprops", "pyradiomics", "CellProfiler", "QuPath"):
        for _, columns, how in rows(tool):
            for column in columns[:1]:
                if "..." not in column and column.count("__") == 2 + ("__od_" in column):
                    assert column in known, column
            assert len(how) > 4


def test_scikit_image(cells):
    here, planes, nuclei, whole = cells
    names = [re.split(r"-\d", names[0])[0] for names, *_ in rows("regionprops")]
    properties = [name for name in names if name not in NOT_OF_NUCLEI]
    there = pd.concat(
        pd.DataFrame(regionprops_table(nucleus, plane, properties=properties))
        for nucleus, plane in zip(nuclei, planes, strict=True)
    )
    there = there.reset_index(drop=True)
    assert len(agree("regionprops", there, here)) == 17
    of_cells = pd.concat(
        pd.DataFrame(regionprops_table(cell, properties=["label", "centroid", "bbox"]))
        for cell in whole
    )
    columns = ["mask_label", "y", "x", "top", "left", "bottom", "right"]
    found = here[[f"where__{name}" for name in columns]].to_numpy(np.float64)
    np.testing.assert_allclose(found, of_cells.to_numpy(np.float64), rtol=1e-6)


def test_pyradiomics(cells):
    sitk = pytest.importorskip("SimpleITK")
    radiomics = pytest.importorskip("radiomics.featureextractor")
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    here, planes, nuclei, _ = cells
    extractor = radiomics.RadiomicsFeatureExtractor(binWidth=LEVEL, force2D=True)
    extractor.enableAllFeatures()
    extractor.enableFeatureClassByName("shape", False)
    extractor.enableFeatureClassByName("shape2D")
    there = pd.DataFrame(
        {
            name.removeprefix("original_"): float(value)
            for name, value in extractor.execute(
                sitk.GetImageFromArray(plane[None]),
                sitk.GetImageFromArray((nucleus[None] == 1).astype(np.uint8)),
            ).items()
            if name.startswith("original_")
        }
        for plane, nucleus in zip(planes, nuclei, strict=True)
    )
    assert len(agree("pyradiomics", there, here)) == 74


def test_cellprofiler(cells):
    bulk = pytest.importorskip("cp_measure.bulk")
    here, planes, nuclei, _ = cells
    groups = {"sizeshape": "AreaShape_", "feret": "AreaShape_", "intensity": ""}
    measures = bulk.get_core_measurements()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = pd.DataFrame(
            {
                f"{prefix}{name}": float(np.ravel(value)[0])
                for group, prefix in groups.items()
                for name, value in measures[group](nucleus, plane).items()
            }
            for plane, nucleus in zip(planes, nuclei, strict=True)
        )
    assert len(agree("CellProfiler", there, here)) == 21
