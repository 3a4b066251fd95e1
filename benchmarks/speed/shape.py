"""Peers of outlines (segmentation, geometry, Zernike moments), and all features of a tool."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
from cells import Cell
from peers import Work, peer

PROPERTIES = (
    "area",
    "perimeter_crofton",
    "equivalent_diameter_area",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "extent",
    "area_convex",
    "solidity",
    "feret_diameter_max",
    "euler_number",
)


@cache
def nyxus_of(*features: str):
    """Return a Nyxus for these features, made once, because a second one may fail."""
    from nyxus import Nyxus

    return Nyxus(list(features), n_feature_calc_threads=1, coarse_gray_depth=32)


def nyxus_work(cell: Cell, *features: str, columns=(), values=None, whole: bool = False) -> Work:
    """Return the work of Nyxus on the box of the nucleus, or on the whole image."""
    nyxus = nyxus_of(*features)
    plane = np.ascontiguousarray(cell.whole_grey if whole else cell.grey, dtype=np.uint32)
    labels = np.ascontiguousarray(cell.nucleus if whole else cell.inside, dtype=np.uint32)

    def call():
        return nyxus.featurize(plane, labels, intensity_names=["cell"], label_names=["nucleus"])

    def width(frame) -> int:
        return frame.select_dtypes("number").shape[1] - 1  # without the label

    def read(frame):
        return values(frame.iloc[0]) if values else {}

    return Work(call, width, read)


def fastrad_work(
    plane: np.ndarray, mask: np.ndarray, groups: list[str], bin_width: float, values=None
) -> Work:
    """Return the work of fastrad on the processor: `groups` of features of a plane in a mask."""
    import fastrad
    import torch

    settings = fastrad.FeatureSettings(
        feature_classes=groups, bin_width=bin_width, device="cpu", force2D=True
    )
    extractor = fastrad.FeatureExtractor(settings)
    image = fastrad.MedicalImage(torch.from_numpy(plane[None].astype(np.float32)))
    inside = fastrad.Mask(torch.from_numpy(mask[None].astype(np.float32)))
    return Work(lambda: extractor.extract(image, inside), len, values or (lambda result: {}))


@peer("segmentation", tool="opencv", variant="Otsu", note="one threshold: the nucleus only")
def cv2_otsu(cell: Cell) -> Work:
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))

    def call():
        green = cv2.extractChannel(cell.rgb, 1)
        _, mask = cv2.threshold(green, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc)
        return cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)

    return Work(call, 1)


@peer("segmentation", tool="scikit-image", variant="Otsu", note="one threshold: the nucleus only")
def skimage_otsu(cell: Cell) -> Work:
    from skimage import filters, measure, morphology

    disc = morphology.disk(3)

    def call():
        green = cell.rgb[:, :, 1]
        mask = green < filters.threshold_otsu(green)
        mask = morphology.closing(morphology.opening(mask, disc), disc)
        return measure.label(mask), measure.find_contours(mask, 0.5)

    return Work(call, 1)


@peer("segmentation", tool="mahotas", variant="Otsu", note="one threshold: the nucleus only")
def mahotas_otsu(cell: Cell) -> Work:
    import mahotas

    disc = mahotas.disk(3)

    def call():
        green = cell.rgb[:, :, 1]
        mask = green < mahotas.otsu(green)
        mask = mahotas.close(mahotas.open(mask, disc), disc)
        return mahotas.label(mask), mahotas.bwperim(mask)

    return Work(call, 1)


@peer("geometry", tool="scikit-image", variant="regionprops")
def skimage_geometry(cell: Cell) -> Work:
    from skimage.measure import regionprops

    def call():
        (region,) = regionprops(cell.inside)
        return {name: float(region[name]) for name in PROPERTIES}

    return Work(call, len(PROPERTIES), lambda result: result)


@peer("geometry", tool="opencv", note="the outline is a polygon")
def cv2_geometry(cell: Cell) -> Work:
    import cv2

    mask = (cell.inside > 0).astype(np.uint8)

    def call():
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = max(contours, key=len)
        hull = cv2.convexHull(outline)
        moments = cv2.moments(mask, True)
        return (
            moments["m00"],
            cv2.contourArea(outline),
            cv2.arcLength(outline, True),
            cv2.contourArea(hull),
            cv2.arcLength(hull, True),
            *cv2.HuMoments(moments).ravel(),
            *cv2.fitEllipse(outline)[1],
            *cv2.minAreaRect(outline)[1],
            cv2.minEnclosingCircle(outline)[1],
        )

    return Work(call, len, lambda result: {"area": result[0]})


@peer("geometry", tool="SimpleITK")
def itk_geometry(cell: Cell) -> Work:
    import SimpleITK as sitk

    labels = sitk.GetImageFromArray(cell.inside.astype(np.uint8))

    def call():
        measure = sitk.LabelShapeStatisticsImageFilter()
        measure.ComputeFeretDiameterOn()
        measure.ComputePerimeterOn()
        measure.Execute(labels)
        return {
            "area": float(measure.GetNumberOfPixels(1)),
            "perimeter": measure.GetPerimeter(1),
            "itk_feret": measure.GetFeretDiameter(1),
            "itk_roundness": measure.GetRoundness(1),
            "itk_elongation": measure.GetElongation(1),
            "itk_flatness": measure.GetFlatness(1),
            "itk_radius": measure.GetEquivalentSphericalRadius(1),
        }

    return Work(call, len, lambda result: result)


@peer("geometry", tool="mahotas")
def mahotas_geometry(cell: Cell) -> Work:
    import mahotas

    mask = cell.inside > 0

    def call():
        return {
            "area": float(mask.sum()),
            "mahotas_perimeter": mahotas.labeled.perimeter(mask),
            "eccentricity": mahotas.features.eccentricity(mask),
            "mahotas_roundness": mahotas.features.roundness(mask),
            "mahotas_ellipse": mahotas.features.ellipse_axes(mask),
            "mahotas_hull": mahotas.polygon.fill_convexhull(mask).sum(),
        }

    return Work(call, 7, lambda result: result)


@peer("geometry", tool="cp_measure")
def cp_geometry(cell: Cell) -> Work:
    from cp_measure.core.measureobjectsizeshape import get_sizeshape

    return Work(
        lambda: get_sizeshape(cell.inside, None),
        len,
        lambda result: {
            "area": float(result["Area"][0]),
            "eccentricity": float(result["Eccentricity"][0]),
            "solidity": float(result["Solidity"][0]),
        },
    )


@peer("geometry", tool="nyxus", variant="BASIC_MORPHOLOGY")
def nyxus_geometry(cell: Cell) -> Work:
    return nyxus_work(
        cell, "*BASIC_MORPHOLOGY*", values=lambda row: {"area": float(row["AREA_PIXELS_COUNT"])}
    )


@peer("geometry", tool="nyxus", variant="ALL_MORPHOLOGY")
def nyxus_all_geometry(cell: Cell) -> Work:
    return nyxus_work(
        cell,
        "*ALL_MORPHOLOGY*",
        values=lambda row: {
            "area": float(row["AREA_PIXELS_COUNT"]),
            "eccentricity": float(row["ECCENTRICITY"]),
            "solidity": float(row["SOLIDITY"]),
        },
    )


@peer("zernike", tool="mahotas")
def mahotas_zernike(cell: Cell) -> Work:
    import mahotas

    mask = cell.inside > 0
    radius = max(mask.shape) / 2
    return Work(lambda: mahotas.features.zernike_moments(mask, radius, degree=9), len)


@peer("zernike", tool="cp_measure")
def cp_zernike(cell: Cell) -> Work:
    from cp_measure.core.measureobjectsizeshape import get_zernike

    return Work(lambda: get_zernike(cell.inside, None), len)


@peer("zernike", tool="nyxus")
def nyxus_zernike(cell: Cell) -> Work:
    return nyxus_work(cell, "ZERNIKE2D")


@peer("everything", tool="pyradiomics", note="one channel, one mask")
def radiomics_everything(cell: Cell) -> Work:
    import SimpleITK as sitk
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    image = sitk.GetImageFromArray(cell.whole_grey[None].astype(np.float64))
    mask = sitk.GetImageFromArray(cell.nucleus[None].astype(np.uint8))
    extractor = RadiomicsFeatureExtractor(binCount=32, force2D=True)
    extractor.enableAllFeatures()
    extractor.enableFeatureClassByName("shape", False)
    extractor.enableFeatureClassByName("shape2D")

    def width(result) -> int:
        return sum(not name.startswith("diagnostics") for name in result)

    return Work(lambda: extractor.execute(image, mask), width)


@peer("everything", tool="fastrad", note="one channel, one mask")
def fastrad_everything(cell: Cell) -> Work:
    groups = ["firstorder", "shape2d", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
    return fastrad_work(cell.whole_grey, cell.nucleus, groups, 8.0)


@peer("everything", tool="nyxus", note="one channel, one mask")
def nyxus_everything(cell: Cell) -> Work:
    return nyxus_work(cell, "*ALL*", whole=True)


@peer("everything", tool="cp_measure", variant="numba", note="one channel, one mask")
def cp_everything(cell: Cell) -> Work:
    import cp_measure
    from cp_measure.bulk import get_core_measurements

    cp_measure.set_accelerator("numba")
    measures = get_core_measurements()
    plane = cell.whole_grey / 255.0

    def call():
        return {
            f"{group}/{name}": value
            for group, measure in measures.items()
            for name, value in measure(cell.nucleus, plane).items()
        }

    return Work(call, len)
