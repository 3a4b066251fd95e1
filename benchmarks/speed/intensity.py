"""Peers of grey levels and colours: first order, optical density, colour, transforms."""

from __future__ import annotations

import logging

import names
import numpy as np
from cells import Cell
from peers import Work, peer
from shape import nyxus_work

CHANNELS = "rgb"


@peer("first_order", tool="numpy", note="density given")
def numpy_first_order(cell: Cell) -> Work:
    def call():
        x = cell.density[cell.inside > 0]
        p10, p25, median, p75, p90 = np.percentile(x, [10, 25, 50, 75, 90])
        mean, square = x.mean(), np.square(x).sum()
        middle = x[(x >= p10) & (x <= p90)]
        return {
            "Q4LE": mean,
            "ECT3": x.var(),
            "IPH6": ((x - mean) ** 4).mean() / x.var() ** 2 - 3,
            "Y12H": median,
            "1GSF": x.min(),
            "QG58": p10,
            "8DWT": p90,
            "84IY": x.max(),
            "SALO": p75 - p25,
            "2OJQ": np.ptp(x),
            "4FUA": np.abs(x - mean).mean(),
            "1128": np.abs(middle - middle.mean()).mean(),
            "N72L": np.abs(x - median).mean(),
            "7TET": x.std() / mean,
            "9S40": (p75 - p25) / (p75 + p25),
            "N8CA": square,
            "5ZWQ": np.sqrt(square / x.size),
        }

    return Work(call, len, lambda result: result)


@peer("first_order", tool="pictologics", note="density given")
def pictologics_first_order(cell: Cell) -> Work:
    from pictologics.features.intensity import calculate_intensity_features

    values = cell.density[cell.inside > 0]

    def read(result):
        return {name.rsplit("_", 1)[1]: float(value) for name, value in result.items()}

    return Work(lambda: calculate_intensity_features(values), len, read)


@peer("first_order", tool="pyradiomics", note="density given")
def radiomics_first_order(cell: Cell) -> Work:
    import SimpleITK as sitk
    from radiomics.firstorder import RadiomicsFirstOrder

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    image = sitk.GetImageFromArray(cell.density[None])
    mask = sitk.GetImageFromArray(cell.inside[None].astype(np.uint8))

    def read(result):
        codes = names.FIRST_ORDER
        return {codes[name]: float(value) for name, value in result.items() if name in codes}

    return Work(lambda: RadiomicsFirstOrder(image, mask, binCount=32).execute(), len, read)


@peer("first_order", tool="flash-radiomics", note="density given, in 32-bit floats")
def flash_first_order(cell: Cell) -> Work:
    import flash_radiomics

    image, mask = cell.density.astype(np.float32), cell.inside.astype(np.uint8)

    def call():
        return flash_radiomics.RadiomicsFirstOrder(
            image, mask, backend="cpu", num_threads=1, binCount=32
        ).execute()

    def read(result):
        codes = names.FIRST_ORDER
        return {codes[name]: float(value) for name, value in result.items() if name in codes}

    return Work(call, len, read)


@peer("first_order", tool="nyxus", note="of the grey image")
def nyxus_first_order(cell: Cell) -> Work:
    return nyxus_work(cell, "*ALL_INTENSITY*")


@peer("first_order", tool="cp_measure", variant="numba", note="of the grey image")
def cp_first_order(cell: Cell) -> Work:
    from cp_measure.core.numba.measureobjectintensity import get_intensity

    plane = cell.grey / 255.0
    return Work(lambda: get_intensity(cell.inside, plane), len)


@peer("density", tool="numpy", variant="log10")
def numpy_density(cell: Cell) -> Work:
    def call():
        density = np.log10((cell.white + 1) / (cell.crop[cell.inside > 0] + 1.0))
        mean, sd = density.mean(axis=0), density.std(axis=0)
        skew = ((density - mean) ** 3).mean(axis=0) / sd**3
        p10, p90 = np.percentile(density, [10, 90], axis=0)
        return {
            f"{name}__{channel}": float(value)
            for name, row in (
                ("mean", mean),
                ("sd", sd),
                ("skewness", skew),
                ("percentile_10", p10),
                ("percentile_90", p90),
                ("integrated", density.sum(axis=0)),
            )
            for channel, value in zip(CHANNELS, row, strict=True)
        }

    return Work(call, len, lambda result: result)


@peer("density", tool="opencv", variant="LUT", note="32-bit floats; mean and sd only")
def cv2_density(cell: Cell) -> Work:
    import cv2

    mask = (cell.inside > 0).astype(np.uint8)
    levels = np.arange(256.0)[:, None]
    table = np.log10((cell.white + 1) / (levels + 1)).astype(np.float32)[None]

    def call():
        return cv2.meanStdDev(cv2.LUT(cell.crop, table), mask=mask)

    def read(result):
        mean, sd = (np.ravel(values) for values in result)
        return {f"mean__{c}": float(mean[k]) for k, c in enumerate(CHANNELS)} | {
            f"sd__{c}": float(sd[k]) for k, c in enumerate(CHANNELS)
        }

    return Work(call, 6, read)


@peer("density", tool="scikit-image", variant="rgb2hed", note="stains, not channels")
def skimage_density(cell: Cell) -> Work:
    from skimage.color import rgb2hed

    def call():
        stains = rgb2hed(cell.crop)[cell.inside > 0]
        return stains.mean(axis=0), stains.std(axis=0)

    return Work(call, 6)


@peer("colour", tool="opencv", note="Lab and HSV in 32-bit floats; hue not as an angle")
def cv2_colour(cell: Cell) -> Work:
    import cv2

    mask = (cell.inside > 0).astype(np.uint8)

    def call():
        share = cell.crop.astype(np.float32) / np.float32(255)
        planes = (
            cell.crop,
            *(cv2.cvtColor(share, c) for c in (cv2.COLOR_RGB2Lab, cv2.COLOR_RGB2HSV)),
        )
        return [cv2.meanStdDev(plane, mask=mask) for plane in planes]

    return Work(call, 18, lambda result: _colours([np.ravel(v) for pair in result for v in pair]))


@peer("colour", tool="scikit-image", note="hue not as an angle")
def skimage_colour(cell: Cell) -> Work:
    from skimage.color import rgb2hsv, rgb2lab

    def call():
        inside = cell.inside > 0
        planes = cell.crop, rgb2lab(cell.crop), rgb2hsv(cell.crop)
        return [
            values
            for plane in planes
            for values in (plane[inside].mean(axis=0), plane[inside].std(axis=0))
        ]

    return Work(call, 18, _colours)


def _colours(result: list[np.ndarray]) -> dict[str, float]:
    by_name = {}
    for k, measure in enumerate(("mean", "sd")):
        rgb, lab, hsv = result[k], result[2 + k], result[4 + k]
        by_name |= {f"{measure}__{c}": float(v) for c, v in zip(CHANNELS, rgb, strict=True)}
        by_name |= {f"{measure}__lab_{c}": float(v) for c, v in zip("lab", lab, strict=True)}
        by_name |= {f"{measure}__saturation": float(hsv[1]), f"{measure}__value": float(hsv[2])}
    return by_name


@peer("dct", tool="opencv", variant="64 x 64", note="the transform only")
def cv2_dct(cell: Cell) -> Work:
    import cv2

    return Work(lambda: cv2.dct(cv2.resize(cell.grey, (64, 64)).astype(np.float32)), np.size)


@peer("dct", tool="scipy", variant="64 x 64 and 8 x 8", note="the transforms only")
def scipy_dct(cell: Cell) -> Work:
    import cv2
    from scipy.fft import dctn

    height, width = (side // 8 * 8 for side in cell.grey.shape)
    blocks = cell.grey[:height, :width].reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)

    def call():
        whole = dctn(cv2.resize(cell.grey, (64, 64)).astype(np.float64), norm="ortho")
        return whole, dctn(blocks.astype(np.float64), axes=(2, 3), norm="ortho")

    return Work(call, lambda result: sum(map(np.size, result)))


BANK = [(wavelength, angle) for wavelength in (3, 5, 8, 12) for angle in range(0, 180, 30)]


@peer("gabor", tool="opencv", variant="4 x 6 filters", note="filters of its own")
def cv2_gabor(cell: Cell) -> Work:
    import cv2

    mask = (cell.inside > 0).astype(np.uint8)
    kernels = [
        cv2.getGaborKernel((31, 31), 0.56 * wave, np.deg2rad(angle), wave, 0.5)
        for wave, angle in BANK
    ]

    def call():
        return [
            cv2.meanStdDev(cv2.filter2D(cell.grey, cv2.CV_32F, kernel), mask=mask)
            for kernel in kernels
        ]

    return Work(call, 2 * len(BANK))


@peer("gabor", tool="scikit-image", variant="4 x 6 filters", note="filters of its own")
def skimage_gabor(cell: Cell) -> Work:
    from skimage.filters import gabor

    def call():
        inside = cell.inside > 0
        result = []
        for wave, angle in BANK:
            real, imaginary = gabor(cell.grey / 255.0, 1 / wave, np.deg2rad(angle))
            size = np.hypot(real, imaginary)[inside]
            result += [size.mean(), size.std()]
        return result

    return Work(call, len)


@peer("gabor", tool="nyxus", note="filters of its own")
def nyxus_gabor(cell: Cell) -> Work:
    return nyxus_work(cell, "GABOR")
