"""Peers of texture: local binary patterns and grey-level matrices."""

from __future__ import annotations

import logging
from functools import cache

import names
import numpy as np
from cells import LEVELS, Cell
from ours import LBP
from peers import Work, peer
from shape import fastrad_work, nyxus_work

MATRICES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")


@peer(*LBP, tool="scikit-image")
def skimage_lbp(cell: Cell, group: str) -> Work:
    from skimage.feature import local_binary_pattern

    grey = cell.whole_grey
    return Work(
        lambda: local_binary_pattern(grey, *LBP[group], "uniform"),
        1,
        lambda codes: {"codes": codes.astype(np.int32)},
    )


@peer(*LBP, tool="fastlbp")
def fast_lbp(cell: Cell, group: str) -> Work:
    from fastlbp.lbp import uniform_lbp_uint8

    grey = cell.whole_grey
    return Work(
        lambda: uniform_lbp_uint8(grey, *LBP[group]),
        1,
        lambda codes: {"codes": np.asarray(codes).astype(np.int32)},
    )


@peer(*LBP, tool="mahotas", note="rotation invariant, not uniform")
def mahotas_lbp(cell: Cell, group: str) -> Work:
    from mahotas.features.lbp import lbp_transform

    points, radius = LBP[group]
    grey = cell.whole_grey
    return Work(lambda: lbp_transform(grey, radius, points), 1)


@peer("lbp_box", tool="scikit-image", note="rounds ties elsewhere")
def skimage_histograms(cell: Cell) -> Work:
    from skimage.feature import local_binary_pattern

    return _histograms(cell, lambda grey, p, r: local_binary_pattern(grey, p, r, "uniform"))


@peer("lbp_box", tool="fastlbp", note="rounds ties elsewhere")
def fast_histograms(cell: Cell) -> Work:
    from fastlbp.lbp import uniform_lbp_uint8

    return _histograms(cell, uniform_lbp_uint8)


def _histograms(cell: Cell, codes_of) -> Work:
    from scipy.ndimage import binary_erosion

    mask = np.pad(cell.inside > 0, 3)
    deep = {
        (p, r): binary_erosion(mask, np.ones((2 * r + 1, 2 * r + 1)))[3:-3, 3:-3]
        for p, r in LBP.values()
    }

    def call():
        result = {}
        for (points, radius), where in deep.items():
            codes = np.asarray(codes_of(cell.grey, points, radius))[where]
            counts = np.bincount(codes.astype(np.intp), minlength=points + 2)
            result[f"riu2_p{points}"] = counts / codes.size
        return result

    return Work(call, sum(p + 2 for p, _ in LBP.values()), lambda result: result)


@peer("glcm", tool="scikit-image", note="levels given; pairs with the outside cut off")
def skimage_glcm(cell: Cell) -> Work:
    from skimage.feature import graycomatrix, graycoprops

    codes = {
        "contrast": "ACUI",
        "dissimilarity": "8S9J",
        "homogeneity": "WF0Z",
        "ASM": "8ZQL",
        "correlation": "NI2N",
        "variance": "UR99",
    }
    others = ("energy", "mean", "std", "entropy")
    numbered = cell.numbered.astype(np.uint8)
    angles = np.deg2rad([0, 45, 90, 135])

    def call():
        matrix = graycomatrix(numbered, [1], angles, levels=LEVELS + 1, symmetric=True)
        matrix = matrix[1:, 1:]
        return {name: graycoprops(matrix, name)[0] for name in (*codes, *others)}

    def read(result):
        return {code: float(result[name].mean()) for name, code in codes.items()}

    return Work(call, 4 * len((*codes, *others)), read)


@peer("glcm", tool="mahotas", note="levels given")
def mahotas_glcm(cell: Cell) -> Work:
    import mahotas

    numbered = cell.numbered.astype(np.uint8)

    def read(result):
        means = result.mean(axis=0)
        return {c: float(v) for c, v in zip(names.HARALICK, means, strict=True) if c}

    return Work(lambda: mahotas.features.haralick(numbered, ignore_zeros=True), np.size, read)


@peer("glcm", tool="cp_measure", note="levels of its own")
def cp_glcm(cell: Cell) -> Work:
    from cp_measure.core.measuretexture import get_texture

    return _cp_texture(cell, get_texture)


@peer("glcm", tool="cp_measure", variant="numba", note="levels of its own")
def cp_numba_glcm(cell: Cell) -> Work:
    from cp_measure.core.numba.measuretexture import get_texture

    return _cp_texture(cell, get_texture)


def _cp_texture(cell: Cell, get_texture) -> Work:
    plane = cell.grey / 255.0
    return Work(lambda: get_texture(cell.inside, plane, 1, LEVELS), len)


@peer(*MATRICES, tool="nyxus", note="levels of its own")
def nyxus_matrices(cell: Cell, group: str) -> Work:
    theirs = {"glrlm": "GLRLM", "ngtdm": "NGTDM"}.get(group, group.upper())
    return nyxus_work(cell, f"*ALL_{theirs}*")


@peer(*MATRICES, tool="pyradiomics", note="levels and box given")
def radiomics_matrices(cell: Cell, group: str) -> Work:
    from importlib import import_module

    import SimpleITK as sitk

    kind = getattr(import_module(f"radiomics.{group}"), f"Radiomics{group.upper()}")
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    image = sitk.GetImageFromArray(cell.numbered[None].astype(np.float64))
    mask = sitk.GetImageFromArray(cell.inside[None].astype(np.uint8))

    def call():
        return kind(image, mask, binWidth=1, force2D=True).execute()

    return Work(call, len, lambda result: _coded(result, getattr(names, group.upper())))


@peer(*MATRICES, tool="flash-radiomics", note="levels and box given")
def flash_matrices(cell: Cell, group: str) -> Work:
    import flash_radiomics

    kind = getattr(flash_radiomics, f"Radiomics{group.upper()}")
    image, mask = cell.numbered.astype(np.float32), cell.inside.astype(np.uint8)

    def call():
        return kind(image, mask, backend="cpu", num_threads=1, binWidth=1).execute()

    return Work(call, len, lambda result: _coded(result, getattr(names, group.upper())))


@peer(*MATRICES, tool="fastrad", note="levels and box given, in 32-bit floats")
def fastrad_matrices(cell: Cell, group: str) -> Work:
    codes = {name.lower(): code for name, code in getattr(names, group.upper()).items()}

    def read(result):
        plain = {name.split(":")[1].replace("_", ""): value for name, value in result.items()}
        return {codes[name]: float(value) for name, value in plain.items() if name in codes}

    return fastrad_work(cell.numbered, cell.inside, [group], 1.0, read)


@peer(*MATRICES, tool="pictologics", note="levels and box given")
def pictologics_matrices(cell: Cell, group: str) -> Work:
    from pictologics.features import texture

    theirs = "ngldm" if group == "gldm" else group
    calculate = getattr(texture, f"calculate_{theirs}_features")
    levels = cell.numbered[None].astype(np.int32)
    mask = cell.inside[None].astype(np.uint8)
    # It takes the statistics of the summed matrix; we and others the mean over four matrices.
    merged = " merged" if group in ("glcm", "glrlm") else ""
    # These are divided by the highest level that occurs.
    excluded = ("NDRX", "1QCO") if not merged else ()

    def read(result):
        codes = {name.rsplit("_", 1)[1]: float(value) for name, value in result.items()}
        return {f"{code}{merged}": value for code, value in codes.items() if code not in excluded}

    return Work(lambda: calculate(levels, mask, LEVELS), len, read)


@peer("glrlm", "glszm", "ngtdm", tool="pyfeats", note="levels given; ignores the mask")
def pyfeats_matrices(cell: Cell, group: str) -> Work:
    pyfeats = _pyfeats()
    levels, mask = cell.numbered.astype(np.uint8), cell.inside.astype(np.uint8)
    if group == "glrlm":
        return Work(lambda: pyfeats.glrlm_features(levels, mask, LEVELS + 1)[0], len)
    if group == "glszm":
        return Work(lambda: pyfeats.glszm_features(levels, mask)[0], len)
    return Work(lambda: pyfeats.ngtdm_features(levels, mask)[0], len)


@cache
def _pyfeats():
    import pyfeats

    return pyfeats


def _coded(result, codes: dict[str, str]) -> dict[str, float]:
    return {codes[name]: float(value) for name, value in result.items() if name in codes}
