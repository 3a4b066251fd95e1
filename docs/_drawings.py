"""One drawing for each family of features: what it measures, on drawn cells.

``python docs/_drawings.py FOLDER`` writes them all; the build of the site does so too.
"""

from __future__ import annotations

import sys
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
from _canvas import (
    DRAWINGS,
    INK,
    SECOND,
    drawn,
    draws,
    granular,
    inside,
    lobed,
    monocyte,
    neutrophil,
    outline,
    picture,
    show,
)
from matplotlib.collections import LineCollection
from scipy import fft, ndimage as ndi
from skimage import color, feature, filters, measure, morphology, segmentation, transform

from hemafeat import datasets


@draws(
    "shape",
    "An outline, the smallest convex outline around it, the ellipse of the same second moments, "
    "and "
    "the bays between outline and hull.",
    "The nucleus of a neutrophil in three panels: outline and hull; axes of an ellipse; bays "
    "filled",
)
def shape(axes: Any) -> None:
    view = neutrophil()
    around = view.around(view.nucleus)
    hull = morphology.convex_hull_image(around.nucleus)
    show(axes[0], around.rgb, "outline and hull")
    outline(axes[0], around.nucleus)
    outline(axes[0], hull, SECOND, ls="--")
    (region,) = measure.regionprops(around.nucleus.astype(int))
    show(axes[1], around.nucleus, "axes", cmap="Greys", vmax=3)
    y, x = region.centroid
    long, short = region.axis_major_length / 2, region.axis_minor_length / 2
    sine, cosine = np.sin(region.orientation), np.cos(region.orientation)
    turn = np.linspace(0, 2 * np.pi, 100)
    u, v = long * np.cos(turn), short * np.sin(turn)
    axes[1].plot(x + u * sine + v * cosine, y + u * cosine - v * sine, color=INK)
    axes[1].plot([x - long * sine, x + long * sine], [y - long * cosine, y + long * cosine], INK)
    axes[1].plot(
        [x - short * cosine, x + short * cosine], [y + short * sine, y - short * sine], SECOND
    )
    bays = hull & ~around.nucleus
    show(axes[2], around.nucleus + 2.0 * bays, "bays", cmap="Purples", vmax=3)
    outline(axes[2], hull, SECOND, ls="--")


@draws(
    "boundary",
    "How strongly an outline turns, inwards or outwards, and how many Fourier coefficients its "
    "form "
    "needs.",
    "An outline coloured by curvature, red in its bays, and the same outline rebuilt from 3 and 7 "
    "frequencies",
)
def boundary(axes: Any) -> None:
    view = neutrophil()
    view = view.around(view.nucleus)
    (line, *_) = sorted(measure.find_contours(view.nucleus.astype(float), 0.5), key=len)[::-1]
    steps = np.linspace(0, len(line) - 1, 256, endpoint=False)
    z = np.interp(steps, range(len(line)), line[:, 1]) + 1j * np.interp(
        steps, range(len(line)), line[:, 0]
    )
    back, ahead = z - np.roll(z, 16), np.roll(z, -16) - z
    turn = 2 * (back.conj() * ahead).imag / np.abs(back * ahead * (back + ahead))
    turn *= np.sign(turn.sum())
    show(axes[0], np.full((*view.nucleus.shape, 3), 255), "curvature")
    pieces = np.stack([z, np.roll(z, -1)], axis=1)
    lines = LineCollection(np.stack([pieces.real, pieces.imag], axis=-1), cmap="coolwarm_r", lw=4)
    lines.set_array(turn)
    lines.set_clim(-np.abs(turn).max(), np.abs(turn).max())
    axes[0].add_collection(lines)
    code = np.fft.fft(z)
    number = np.abs(np.fft.fftfreq(256, 1 / 256))
    for panel, most in zip(axes[1:], (3, 7), strict=True):
        rebuilt = np.fft.ifft(np.where(number <= most, code, 0))
        show(panel, view.nucleus, f"{most} frequencies", cmap="Greys", vmax=4)
        panel.plot(rebuilt.real, rebuilt.imag, color=INK)


@draws(
    "lobes",
    "The lobes of a nucleus, the narrow links between them, and its skeleton.",
    "A lobed nucleus in three panels: depth below the outline; one colour for each lobe; skeleton",
)
def lobes(axes: Any) -> None:
    view = lobed()
    view = view.around(view.nucleus)
    depth = ndi.distance_transform_edt(view.nucleus)
    peaks = morphology.h_maxima(depth, 2)
    parts = segmentation.watershed(-depth, measure.label(peaks), mask=view.nucleus)
    show(axes[0], inside(depth, view.nucleus), "depth", cmap="viridis")
    show(axes[1], inside(parts, view.nucleus), "lobes", cmap="Set2", vmin=1, vmax=8)
    outline(axes[1], view.nucleus)
    show(axes[2], view.nucleus, "skeleton", cmap="Greys", vmax=4)
    y, x = np.nonzero(morphology.skeletonize(view.nucleus))
    axes[2].scatter(x, y, s=4, color=SECOND)


@draws(
    "relation",
    "The share of the cell that the nucleus fills, the distance between their centroids, and the "
    "cytoplasm between their outlines.",
    "A monocyte in two panels, with outlines and the line between two centroids, and areas as bars",
)
def relation(axes: Any) -> None:
    view = drawn("monocyte", 18)
    show(axes[0], view.rgb, "outlines")
    outline(axes[0], view.cell, SECOND)
    outline(axes[0], view.nucleus, "white")
    show(axes[1], view.cell + 1.0 * view.nucleus, "centroids", cmap="Purples", vmax=3)
    ends = np.array([ndi.center_of_mass(mask) for mask in (view.nucleus, view.cell)])
    axes[1].plot(ends[:, 1], ends[:, 0], color=SECOND, marker="o", ms=4)
    areas = [view.nucleus.sum(), view.cytoplasm.sum(), view.cell.sum()]
    axes[2].bar(["nucleus", "cytoplasm", "cell"], areas, color=[INK, "#99b8c2", SECOND])
    axes[2].set_title(f"area, px: nucleus / cell {areas[0] / areas[2]:.2f}")


@draws(
    "rim",
    "How wide the rim of cytoplasm is in each direction from the nucleus, and what projects from "
    "the "
    "cell.",
    "Rays across the cytoplasm of a lymphocyte, their lengths by direction, and the projections "
    "of its "
    "outline",
    (1, 1.3, 1),
)
def rim(axes: Any) -> None:
    view = drawn("lymphocyte", 10)
    y, x = ndi.center_of_mass(view.nucleus)
    steps = np.arange(0, 150, 0.25)
    widths = []
    show(axes[0], view.rgb, "rays")
    angles = np.radians(np.arange(2.5, 360, 5))
    for k, angle in enumerate(angles):
        rows = np.rint(y - steps * np.sin(angle)).astype(int)
        columns = np.rint(x + steps * np.cos(angle)).astype(int)
        on = (rows >= 0) & (rows < view.cell.shape[0])
        on &= (columns >= 0) & (columns < view.cell.shape[1])
        last = [steps[on][mask[rows[on], columns[on]]].max() for mask in (view.nucleus, view.cell)]
        widths.append(last[1] - last[0])
        if k % 4 == 0:
            reach = np.array(last)
            axes[0].plot(
                x + reach * np.cos(angle), y - reach * np.sin(angle), color="white", lw=1.2
            )
    axes[1].plot(np.degrees(angles), widths, color=INK)
    axes[1].set_title("width of the rim, px")
    axes[1].set_xlabel("direction, degrees")
    axes[1].set_xticks(range(0, 361, 90))
    radius = round(0.1 * np.sqrt(view.cell.sum() / np.pi))
    off = view.cell & ~morphology.opening(view.cell, morphology.octagon(radius, radius - 1))
    part = measure.label(off)
    off &= np.bincount(part.ravel())[part] >= radius**2 / 2
    show(axes[2], view.cell + 2.0 * off, "projections", cmap="Purples", vmax=4)


@draws(
    "colour",
    "Mean and spread of the colour of nucleus, cytoplasm and cell, in RGB, CIELAB and HSV.",
    "A monocyte, a patch of the mean colour of each part, and the colours of its pixels in a*b*",
    (1, 0.8, 1.2),
)
def colour(axes: Any) -> None:
    view = monocyte()
    show(axes[0], view.rgb)
    parts = {"nucleus": view.nucleus, "cytoplasm": view.cytoplasm, "cell": view.cell}
    means = np.array([[view.rgb[mask].mean(axis=0) / 255] for mask in parts.values()])
    show(axes[1], means, "mean colour", aspect="auto")
    for k, name in enumerate(parts):
        axes[1].text(0, k, name, ha="center", va="center", color="white")
    lab = color.rgb2lab(view.rgb)
    for name, mask in list(parts.items())[:2]:
        a, b = lab[mask][::9, 1:].T
        axes[2].scatter(a, b, s=3, color=means[list(parts).index(name), 0], label=name)
    axes[2].set_title("a* and b* of the pixels")
    axes[2].legend(frameon=False)


@draws(
    "profile",
    "The density of green by depth below the outline of the cell, and along the axes of the cell.",
    "A monocyte, its shells of equal steps of depth, and the mean density in each shell",
)
def profile(axes: Any) -> None:
    view = monocyte()
    depth = ndi.distance_transform_edt(view.cell)
    shells = np.ceil(8 * depth / depth.max())
    show(axes[0], view.rgb)
    show(axes[1], inside(shells, view.cell), "depth", cmap="viridis")
    means = ndi.mean(view.od[..., 1], shells, range(1, 9))
    axes[2].plot(range(1, 9), means, "o-", color=INK)
    axes[2].set_title("mean density of green")
    axes[2].set_xlabel("from outline to centre")


@draws(
    "stain",
    "The amounts of azure and eosin in each pixel, unmixed from its optical densities.",
    "An eosinophil, the map of azure, darkest in the nucleus, and that of eosin, in the cytoplasm",
)
def stain(axes: Any) -> None:
    view = drawn("eosinophil", 1)
    dyes = datasets.Stain.preset("white")
    basis = np.array([dyes.azure, dyes.eosin])
    amounts = view.od @ np.linalg.pinv(basis / np.linalg.norm(basis, axis=1, keepdims=True))
    show(axes[0], view.rgb)
    show(axes[1], inside(amounts[..., 0], view.cell), "azure", cmap="Blues", vmin=0)
    show(axes[2], inside(amounts[..., 1], view.cell), "eosin", cmap="Reds", vmin=0)


@draws(
    "tavakoli",
    "The colour of the nucleus, and of the cytoplasm in its bays, in relation to that of the "
    "convex "
    "hull, and three ratios of shape.",
    "A neutrophil with the hull of its nucleus, then the nucleus alone, and the rest of the hull",
)
def tavakoli(axes: Any) -> None:
    view = lobed()
    hull = morphology.convex_hull_image(view.nucleus)
    show(axes[0], view.rgb, "nucleus and hull")
    outline(axes[0], view.nucleus, "white")
    outline(axes[0], hull, SECOND, ls="--")
    for panel, mask, name in (
        (axes[1], hull & view.nucleus, "nucleus"),
        (axes[2], hull & ~view.nucleus, "the rest of the hull"),
    ):
        show(panel, np.where(mask[..., None], view.rgb, 255), name)


@draws(
    "density",
    "Mean, spread, skewness, percentiles and sum of the decadic optical density, by mask and "
    "channel.",
    "A monocyte, the optical density of its green channel, and the histograms of nucleus and "
    "cytoplasm",
    (1, 1, 1.2),
)
def density(axes: Any) -> None:
    histograms(axes, monocyte(), "optical density of green", "Purples")


@draws(
    "density_natural",
    "The numbers of `density` with the natural logarithm, in which white to 1/e of its light is 1.",
    "The light that passes along a line through a monocyte, and its decadic and natural logarithms",
    (1, 1.2, 1.2),
)
def density_natural(axes: Any) -> None:
    view = monocyte()
    row = view.cell.shape[0] // 2
    show(axes[0], view.rgb)
    axes[0].axhline(row, color=SECOND)
    axes[1].plot(view.rgb[row, :, 1], color=INK)
    axes[1].set_title("green along the line")
    axes[2].plot(view.od[row, :, 1], color="#99b8c2", label="decadic")
    axes[2].plot(np.log(10) * view.od[row, :, 1], color=INK, label="natural")
    axes[2].set_title("optical density")
    axes[2].legend(frameon=False)


def histograms(axes: Any, view: Any, title: str, colours: str) -> None:
    """A density and its histograms in nucleus and cytoplasm."""
    show(axes[0], view.rgb)
    show(axes[1], inside(view.od[..., 1], view.cell), title, cmap=colours, vmin=0)
    for mask, shade, name in (
        (view.nucleus, INK, "nucleus"),
        (view.cytoplasm, SECOND, "cytoplasm"),
    ):
        values = view.od[..., 1][mask]
        axes[2].hist(values, bins=np.linspace(0, 1.5, 41), color=shade, alpha=0.7, label=name)
        axes[2].axvline(values.mean(), color=shade)
    axes[2].set_title("pixels by density; lines: means")
    axes[2].set_yticks([])
    axes[2].legend(frameon=False)


@draws(
    "intensity",
    "First-order statistics of the density in a mask: its histogram in numbers, wherever pixels "
    "lie.",
    "The nucleus of a monocyte, and its histogram with mean, median and the 10th and 90th "
    "percentile",
    (1, 2),
)
def intensity(axes: Any) -> None:
    view = monocyte()
    values = view.od[..., 1][view.nucleus]
    show(axes[0], np.where(view.nucleus[..., None], view.rgb, 255), "nucleus")
    axes[1].hist(values, bins=60, color="#99b8c2")
    low, middle, high = np.percentile(values, [10, 50, 90])
    marks = {"mean": values.mean(), "median": middle, "10 %": low, "90 %": high}
    for (name, mark), shade in zip(marks.items(), (SECOND, INK, "grey", "grey"), strict=True):
        axes[1].axvline(
            mark, color=shade, label=f"{name} {mark:.2f}", ls="-" if name[0] == "m" else ":"
        )
    axes[1].set_title("pixels by optical density of green")
    axes[1].set_yticks([])
    axes[1].legend(frameon=False)


def texture_patch() -> tuple[Any, Any]:
    """Levels of a nucleus, and a part of 12 x 12 px that shows single pixels."""
    view = monocyte()
    view = view.around(view.nucleus)
    y, x = (int(part) for part in ndi.center_of_mass(view.nucleus))
    return view, view.levels[y - 6 : y + 6, x - 6 : x + 6]


def numbers(axes: Any, values: Any, title: str, colours: str = "Purples") -> None:
    """A few pixels with their values."""
    show(axes, values, title, cmap=colours, vmax=1.5 * values.max())
    for (row, column), number in np.ndenumerate(values):
        axes.text(column, row, f"{number}", ha="center", va="center", fontsize=5.5)


@draws(
    "glcm",
    "How often two levels of density lie side by side: a matrix, summed up in numbers.",
    "The levels of a nucleus, 12 x 12 of its pixels, and the co-occurrence matrix of the nucleus",
)
def glcm(axes: Any) -> None:
    view, patch = texture_patch()
    show(axes[0], inside(view.levels, view.nucleus), "32 levels", cmap="Purples")
    numbers(axes[1], patch, "12 x 12 pixels")
    counts = np.zeros((32, 32))
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a, b = pairs(view.levels, down, right)
        both = np.logical_and(*pairs(view.nucleus, down, right))
        np.add.at(counts, (a[both], b[both]), 1)
    counts += counts.T
    show(axes[2], np.log1p(counts), "pairs of levels", cmap="viridis", origin="lower")


def pairs(values: Any, down: int, right: int) -> tuple[Any, Any]:
    """Values, and those of the neighbours in a direction."""
    height, width = values.shape
    first = values[: height - down, max(-right, 0) : width - max(right, 0)]
    second = values[down:, max(right, 0) : width + min(right, 0)]
    return first, second


@draws(
    "glrlm",
    "How long runs of pixels of one level are, in four directions.",
    "12 x 12 pixels of a nucleus, the length of the run of each in its row, and the runs by length",
    (1, 1, 1.1),
)
def glrlm(axes: Any) -> None:
    view, patch = texture_patch()
    numbers(axes[0], patch, "levels")
    numbers(axes[1], runs(patch), "length of the run in the row", "Greens")
    # A run of n pixels is met n times.
    met = np.bincount(runs(np.where(view.nucleus, view.levels, -1))[view.nucleus])
    bars(axes[2], {n: met[n] // n for n in range(1, min(len(met), 9))}, "runs of the nucleus")
    axes[2].set_xlabel("length, px")


def runs(values: Any) -> Any:
    """The length of the run to which each pixel belongs, along rows."""
    new = np.ones(values.shape, bool)
    new[:, 1:] = values[:, 1:] != values[:, :-1]
    number = np.cumsum(new.ravel()) - 1
    return np.bincount(number)[number].reshape(values.shape)


def bars(axes: Any, counts: Any, title: str) -> None:
    axes.bar([str(name) for name in counts], list(counts.values()), color=INK)
    axes.set_title(title)


@draws(
    "glszm",
    "How large connected zones of one level are.",
    "12 x 12 pixels of a nucleus, the size of the zone of each, and the zones by size",
    (1, 1, 1.1),
)
def glszm(axes: Any) -> None:
    view, patch = texture_patch()
    numbers(axes[0], patch, "levels")
    numbers(axes[1], zones(patch), "size of the zone", "Greens")
    met = np.bincount(zones(np.where(view.nucleus, view.levels, -1))[view.nucleus])
    bars(axes[2], {n: met[n] // n for n in range(1, min(len(met), 11))}, "zones of the nucleus")
    axes[2].set_xlabel("size, px")


def zones(values: Any) -> Any:
    """The size of the connected zone of one level to which each pixel belongs."""
    zone = measure.label(values + 2, connectivity=2)
    return np.bincount(zone.ravel())[zone]


@draws(
    "gldm",
    "How many of its neighbours have the level of a pixel.",
    "12 x 12 pixels of a nucleus, the number of equal pixels around each, and pixels by that "
    "number",
    (1, 1, 1.1),
)
def gldm(axes: Any) -> None:
    view, patch = texture_patch()
    numbers(axes[0], patch, "levels")
    numbers(axes[1], alike(patch), "pixels of that level, with itself", "Greens")
    met = np.bincount(alike(np.where(view.nucleus, view.levels, -1))[view.nucleus], minlength=10)
    bars(axes[2], {n: met[n] for n in range(1, 10)}, "pixels of the nucleus")
    axes[2].set_xlabel("dependence")


def alike(values: Any) -> Any:
    """The number of pixels in 3 x 3 that have the level of the one in their middle."""
    padded = np.pad(values, 1, constant_values=-9)
    nine = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return (nine == values[..., None, None]).sum(axis=(2, 3))


@draws(
    "ngtdm",
    "How much the level of a pixel differs from the mean of its neighbours.",
    "The levels of a nucleus, the mean around each pixel, and the difference of both",
)
def ngtdm(axes: Any) -> None:
    view, _ = texture_patch()
    mask = view.nucleus.astype(float)
    kernel = np.ones((3, 3))
    kernel[1, 1] = 0
    around = ndi.convolve(view.levels * mask, kernel) / np.maximum(ndi.convolve(mask, kernel), 1)
    show(axes[0], inside(view.levels, view.nucleus), "levels", cmap="Purples", vmin=0)
    show(axes[1], inside(around, view.nucleus), "mean of the neighbours", cmap="Purples", vmin=0)
    show(axes[2], inside(np.abs(view.levels - around), view.nucleus), "difference", cmap="Reds")


@draws(
    "lbp",
    "Which neighbours are lighter than a pixel: codes, counted over the nucleus or cell.",
    "The grey nucleus of a monocyte, the pattern of each of its pixels, and the histogram of "
    "patterns",
)
def lbp(axes: Any) -> None:
    view = monocyte()
    view = view.around(view.nucleus)
    codes = feature.local_binary_pattern(view.grey, 8, 1, "uniform")
    show(axes[0], view.grey, "grey", cmap="gray")
    show(axes[1], inside(codes, view.nucleus), "patterns", cmap="viridis")
    counts = np.bincount(codes[view.nucleus].astype(int), minlength=10)
    bars(axes[2], {n: counts[n] for n in range(10)}, "pixels by pattern")
    axes[2].set_xlabel("lighter neighbours; 9: scattered")


@draws(
    "lbp256",
    "The codes of `lbp`, each of the 256 with a count of its own.",
    "The code from 0 to 255 of each pixel of a nucleus, and the shares of all codes",
    (1, 2),
)
def lbp256(axes: Any) -> None:
    view = monocyte()
    view = view.around(view.nucleus)
    codes = feature.local_binary_pattern(view.grey, 8, 1, "default")
    show(axes[0], inside(codes, view.nucleus), "codes", cmap="viridis")
    shares = np.bincount(codes[view.nucleus].astype(int), minlength=256) / view.nucleus.sum()
    axes[1].bar(range(256), shares, width=1, color=INK)
    axes[1].set_title("share of the pixels with each code")


def square_patch(view: Any, size: int = 64) -> Any:
    """The grey image in the box of the nucleus, its mean outside, shrunk to a square."""
    view = view.around(view.nucleus, 0)
    grey = np.where(view.nucleus, view.grey, view.grey[view.nucleus].mean())
    return transform.resize(grey, (size, size), anti_aliasing=True)


@draws(
    "dct",
    "How the structure of the grey image is shared between coarse and fine waves.",
    "A nucleus as 64 x 64 pixels, its cosine coefficients with the bounds of bands, and their "
    "energy",
    (1, 1, 1.1),
)
def dct(axes: Any) -> None:
    patch = square_patch(monocyte())
    show(axes[0], patch, "64 x 64 pixels", cmap="gray")
    spectrum = fft.dctn(patch, norm="ortho")
    spectrum[0, 0] = 0
    show(axes[1], np.log1p(np.abs(spectrum)), "cosine coefficients", cmap="viridis")
    edges = 64.0 ** (np.arange(9) / 8)
    for radius in edges[1:-1]:
        turn = np.linspace(0, np.pi / 2, 50)
        axes[1].plot(radius * np.cos(turn), radius * np.sin(turn), color="white", lw=0.8)
    frequency = np.hypot(*np.indices(spectrum.shape))
    band = np.digitize(frequency, edges)
    energy = ndi.sum(spectrum**2, band, range(1, 9)) / (spectrum**2).sum()
    bands = dict(enumerate(energy, 1))
    bars(axes[2], bands, "energy of the bands")
    axes[2].set_xlabel("coarse to fine")


@draws(
    "dct_zigzag",
    "Single cosine coefficients of the grey image, in the order of a zigzag from coarse to fine.",
    "The first 8 x 8 cosine coefficients of a nucleus with the zigzag, and waves of the first of "
    "them",
)
def dct_zigzag(axes: Any) -> None:
    patch = square_patch(monocyte())
    spectrum = fft.dctn(patch, norm="ortho")
    spectrum[0, 0] = 0
    show(axes[0], patch, "64 x 64 pixels", cmap="gray")
    few = spectrum[:8, :8]
    show(axes[1], few, "coefficients", cmap="coolwarm", vmin=-few.max(), vmax=few.max())
    places = sorted(np.ndindex(8, 8), key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))
    axes[1].plot([p[1] for p in places], [p[0] for p in places], color="black", lw=0.8)
    kept = np.zeros_like(spectrum)
    for place in places:
        kept[place] = spectrum[place]
    show(axes[2], fft.idctn(kept, norm="ortho"), "sum of their waves", cmap="gray")


@draws(
    "gabor",
    "How strongly the density repeats, by wavelength and direction.",
    "A wave under a bell, the response of a nucleus to it, and the mean response by direction",
    (0.6, 1, 1.2),
)
def gabor(axes: Any) -> None:
    view = monocyte()
    view = view.around(view.nucleus)
    green = view.od[..., 1]
    green = np.where(view.nucleus, green - green[view.nucleus].mean(), 0)
    show(axes[0], filters.gabor_kernel(1 / 8, np.pi / 6).real, "8 px, 30 degrees", cmap="coolwarm")
    answer = np.hypot(*filters.gabor(green, 1 / 8, np.pi / 6))
    show(axes[1], inside(answer, view.nucleus), "response", cmap="viridis")
    for wave in (3, 5, 8, 12):
        means = [
            np.hypot(*filters.gabor(green, 1 / wave, angle))[view.nucleus].mean()
            for angle in np.radians(range(0, 180, 30))
        ]
        axes[2].plot(range(0, 180, 30), means, "o-", ms=3, label=f"{wave} px")
    axes[2].set_title("mean response")
    axes[2].set_xlabel("direction, degrees")
    axes[2].set_ylim(0)
    axes[2].legend(frameon=False, ncols=2, loc="lower center")


@draws(
    "zernike",
    "An outline, or the stain in it, as a sum of waves on a disc; the columns are their strengths.",
    "Two waves on a disc, and a lobed nucleus rebuilt from the waves up to degree 3 and up to "
    "degree 9",
    (1, 1, 1, 1),
)
def zernike(axes: Any) -> None:
    view = lobed()
    view = view.around(view.nucleus, 12)
    y, x = (np.indices(view.nucleus.shape).reshape(2, -1).T - ndi.center_of_mass(view.nucleus)).T
    r = np.hypot(y, x).reshape(view.nucleus.shape)
    r /= r[view.nucleus].max()
    angle = np.arctan2(y, x).reshape(r.shape)
    disc = r <= 1
    rebuilt = np.zeros(r.shape)
    kept = {}
    for n in range(10):
        for m in range(-n, n + 1, 2):
            wave = np.where(disc, radial(n, abs(m), r), 0)
            wave *= np.cos(m * angle) if m >= 0 else np.sin(-m * angle)
            rebuilt += wave * (wave * view.nucleus).sum() / (wave**2).sum()
            kept[n, m] = wave
        kept[n] = rebuilt.copy()
    show(axes[0], inside(kept[2, 2], disc), "degree 2", cmap="coolwarm")
    show(axes[1], inside(kept[5, 3], disc), "degree 5", cmap="coolwarm")
    for panel, n in ((axes[2], 3), (axes[3], 9)):
        show(panel, inside(kept[n], disc), f"sum up to degree {n}", cmap="Greys", vmin=0, vmax=1)
        outline(panel, view.nucleus)


def radial(n: int, m: int, r: Any) -> Any:
    """The radial polynomial of Zernike."""
    steps = range((n - m) // 2 + 1)
    return sum(
        (-1) ** k
        * factorial(n - k)
        * r ** (n - 2 * k)
        / (factorial(k) * factorial((n + m) // 2 - k) * factorial((n - m) // 2 - k))
        for k in steps
    )


@draws(
    "granulometry",
    "How much stain an opening by squares of growing size takes away: the sizes of grains.",
    "A granular cell, its density opened by squares of 5 and 13 px, and what each step takes away",
    (1, 1, 1, 1.2),
)
def granulometry(axes: Any) -> None:
    view = granular()
    density = np.where(view.cytoplasm, view.od[..., 1], 0)
    radii = (0, 1, 2, 3, 4, 6, 8)
    opened = [ndi.grey_opening(density, 2 * radius + 1) for radius in radii]
    show(axes[0], inside(density, view.cytoplasm), "density", cmap="Purples", vmin=0, vmax=1)
    for panel, k in ((axes[1], 2), (axes[2], 5)):
        title = f"opened by {2 * radii[k] + 1} px"
        show(panel, inside(opened[k], view.cytoplasm), title, cmap="Purples", vmin=0, vmax=1)
    lost = -np.diff([part.sum() for part in opened]) / density.sum()
    bars(axes[3], dict(zip(radii[1:], lost, strict=True)), "share taken away")
    axes[3].set_xlabel("radius, px")


@draws(
    "granules",
    "Dark spots denser than their surroundings, and vacuoles: their number, size, density and "
    "colour.",
    "A granular cell, its density above the opening by 7 x 7 px, and the outlines of the dark "
    "spots",
)
def granules(axes: Any) -> None:
    view = granular()
    levels = np.where(view.cell, np.floor(256 * view.od[..., 1] / 1.5), 0)
    hat = levels - ndi.grey_opening(levels, 7)
    # At least 6 levels, or 4 standard deviations of the noise, which is this median.
    noise = np.abs(ndi.convolve(levels, np.outer((1, -2, 1), (1, -2, 1))))
    rise = max(6, np.median(noise[ndi.binary_erosion(view.cell, np.ones((3, 3)))]))
    spots = measure.label((hat >= rise) & view.cytoplasm, connectivity=1)
    spots = morphology.remove_small_objects(spots, max_size=3) > 0
    show(axes[0], view.rgb)
    show(axes[1], inside(hat, view.cell), "density above the opening", cmap="Purples", vmin=0)
    show(axes[2], view.rgb, "dark spots in the cytoplasm")
    outline(axes[2], spots, "#ffe066", lw=0.8)


@draws(
    "chromatin",
    "The dark parts of a nucleus, how rough its density is from pixel to pixel, and its pale "
    "spots.",
    "The nucleus of a monocyte, its parts denser than mean + sd, and the spread in squares of 3 "
    "x 3 px",
)
def chromatin(axes: Any) -> None:
    view = monocyte()
    view = view.around(view.nucleus)
    density = view.od[..., 1]
    values = density[view.nucleus]
    dark = (density > values.mean() + values.std()) & view.nucleus
    dark = morphology.remove_small_objects(measure.label(dark, connectivity=1), max_size=3) > 0
    mean, square = (ndi.uniform_filter(part, 3) for part in (density, density**2))
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    show(axes[0], inside(density, view.nucleus), "density", cmap="Purples")
    show(axes[1], view.nucleus + 2.0 * dark, "dark parts", cmap="Purples", vmax=4)
    core = ndi.binary_erosion(view.nucleus, np.ones((3, 3)))
    show(axes[2], inside(spread, core), "roughness", cmap="viridis")


@draws(
    "lobulation",
    "The parts of a nucleus that are denser than a bound, at five bounds: lobes show even if the "
    "outline hides them.",
    "A lobed nucleus, and what of the cell is denser than 20 %, 50 % and 80 % of the way from "
    "cytoplasm "
    "to nucleus",
    (1, 1, 1, 1),
)
def lobulation(axes: Any) -> None:
    view = lobed()
    density = view.od[..., 0]
    low, high = (np.median(density[mask]) for mask in (view.cytoplasm, view.nucleus))
    show(axes[0], inside(density, view.cell), "density of red", cmap="Purples")
    for panel, share in zip(axes[1:], (0.2, 0.5, 0.8), strict=True):
        dense = ndi.median_filter(density, 3) > low + share * (high - low)
        show(
            panel,
            view.cell + 2.0 * (dense & view.cell),
            f"denser than {share:.0%}",
            cmap="Purples",
            vmax=4,
        )


def write(folder: Path) -> None:
    """Write all drawings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DRAWINGS:
        (folder / f"{name}.png").write_bytes(picture(name))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
