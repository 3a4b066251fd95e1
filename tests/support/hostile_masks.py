"""Hostile masks and images: whatever they are, an answer or one sentence, never a dead process.

``python tests/support/hostile_masks.py 60`` runs them for a minute; with ``NUMBA_BOUNDSCHECK=1``
every index of every kernel is checked.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from hemafeat import extract, images, segment
from hemafeat.segment import MaskError, Masks

Labels = tuple[np.ndarray, np.ndarray]


def shape_of(rng: np.random.Generator) -> tuple[int, int]:
    """Return a shape: mostly small, at times a line or a single pixel."""
    kind = rng.integers(10)
    if kind == 0:
        return 1, int(rng.integers(1, 200))
    if kind == 1:
        return int(rng.integers(1, 200)), 1
    if kind == 2:
        return int(rng.integers(1, 6)), int(rng.integers(1, 6))
    if kind == 3:
        return int(rng.integers(100, 260)), int(rng.integers(100, 260))
    return int(rng.integers(8, 90)), int(rng.integers(8, 90))


def picture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return an RGB image of noise, of one colour, of extremes, smooth, or with dark blobs."""
    kind = rng.integers(8)
    if kind >= 6:
        return clump(rng, shape)
    if kind == 0:
        return np.full((*shape, 3), rng.integers(0, 256, 3), np.uint8)
    if kind == 1:
        return np.uint8(255) * rng.integers(0, 2, (*shape, 3), dtype=np.uint8)
    noise = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    if kind == 2:
        return noise
    if kind == 3:
        return cv2.blur(noise, (9, 9)).reshape(*shape, 3)
    base = np.full((*shape, 3), 235, np.uint8)
    for _ in range(int(rng.integers(1, 12))):
        centre = int(rng.integers(shape[1])), int(rng.integers(shape[0]))
        radius = int(rng.integers(1, max(2, min(shape) // 2 + 2)))
        colour = tuple(map(int, rng.integers(0, 220, 3)))
        cv2.circle(base, centre, radius, colour, -1)
        if rng.random() < 0.7:
            cv2.circle(base, centre, max(1, radius // 2), tuple(c // 2 for c in colour), -1)
    if kind == 4:
        return cv2.add(base, (noise // 16).reshape(base.shape))
    if rng.random() < 0.3:
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        far = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) > 0.5 * min(shape)
        base[far] = 0
    return base


def clump(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return cells with nuclei of one to five lobes that overlap, at times blurred or noisy."""
    image = np.full((*shape, 3), (238, 234, 230), np.uint8)
    middle = rng.uniform(0, 1, 2) * shape
    size = rng.uniform(0.08, 0.35) * min(shape)
    pale = tuple(map(int, rng.integers((170, 140, 170), (230, 215, 235))))
    dark = tuple(map(int, rng.integers((70, 30, 90), (140, 90, 170))))
    centres = rng.normal(middle, size * rng.uniform(0.3, 2.5), (int(rng.integers(2, 12)), 2))
    for row, column in centres:
        cv2.circle(image, (int(column), int(row)), max(1, int(size)), pale, -1)
    for row, column in centres:
        for _ in range(int(rng.integers(1, 6))):
            down, right = rng.normal(0, size / 3, 2)
            radius = max(1, int(size * rng.uniform(0.1, 0.6)))
            cv2.circle(image, (int(column + right), int(row + down)), radius, dark, -1)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 4)))
    if rng.random() < 0.5:
        image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    return image.reshape(*shape, 3)


def _blank(shape: tuple[int, int]) -> Labels:
    return np.zeros(shape, np.int32), np.zeros(shape, np.int32)


def one_pixel_cells(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell, nucleus = _blank(shape)
    chosen = rng.choice(cell.size, min(cell.size, int(rng.integers(1, 30))), replace=False)
    cell.flat[chosen] = np.arange(1, chosen.size + 1)
    nucleus.flat[chosen[::2]] = cell.flat[chosen[::2]]
    return cell, nucleus


def whole_image(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell, nucleus = _blank(shape)
    cell[:] = 1
    if rng.random() < 0.7:
        nucleus[:: int(rng.integers(1, 4)), :: int(rng.integers(1, 4))] = 1
    return cell, nucleus


def checkerboard(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    rows, columns = np.indices(shape)
    step = int(rng.integers(1, 4))
    cell = ((rows // step + columns // step) % 2).astype(np.int32)
    return cell, np.where(rng.random(shape) < 0.5, cell, 0)


def comb(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell, nucleus = _blank(shape)
    cell[0] = 1
    cell[:, :: int(rng.integers(2, 5))] = 1
    nucleus[:, :: int(rng.integers(2, 7))] = 1
    return (cell, np.where(cell > 0, nucleus, 0)) if rng.random() < 0.5 else (cell.copy(), cell)


def spiral(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell, nucleus = _blank(shape)
    top, bottom, left, right = 0, shape[0] - 1, 0, shape[1] - 1
    while top <= bottom and left <= right:
        cell[top, left : right + 1] = 1
        cell[top : bottom + 1, right] = 1
        cell[bottom, left + 2 : right + 1] = 1
        cell[top + 2 : bottom + 1, left + 2 : left + 3] = 1
        top, bottom, left, right = top + 2, bottom - 2, left + 2, right - 2
    nucleus[: shape[0] // 2] = cell[: shape[0] // 2]
    return cell, nucleus


def holes(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell = (rng.random(shape) < rng.uniform(0.3, 0.98)).astype(np.int32)
    return cell, np.where(rng.random(shape) < 0.5, cell, 0)


def noise_labels(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell = rng.integers(0, int(rng.integers(2, 40)), shape).astype(np.int32)
    return cell, np.where(rng.random(shape) < 0.3, cell, 0)


def discs(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    """Overlapping discs, also beyond the border; nuclei may be empty, whole cells, or alone."""
    cell, nucleus = _blank(shape)
    for number in range(1, int(rng.integers(2, 12))):
        centre = int(rng.integers(-5, shape[1] + 5)), int(rng.integers(-5, shape[0] + 5))
        radius = int(rng.integers(0, max(2, min(shape) // 2)))
        mask = np.zeros(shape, np.uint8)
        if rng.random() < 0.5:
            cv2.circle(mask, centre, radius, 1, -1)
        else:
            axes = radius, int(rng.integers(0, radius + 1))
            cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 1, -1)
        free = (mask > 0) & (cell == 0) & (nucleus == 0)
        kind = rng.integers(4)
        if kind < 3:
            cell[free] = number
        if kind == 0:
            nucleus[free] = number
        elif kind == 1:
            inner = cv2.erode(mask, np.ones((3, 3)), iterations=int(rng.integers(1, 4)))
            nucleus[free & (inner > 0)] = number
        elif kind == 3:
            nucleus[free] = number
    return cell, nucleus


def crowd(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    """Thousands of cells of a few pixels that fill the image."""
    step = int(rng.integers(1, 4))
    rows, columns = np.indices(shape)
    cell = (rows // step * (shape[1] // step + 1) + columns // step + 1).astype(np.int32)
    return cell, np.where((rows % step == 0) & (columns % step == 0), cell, 0)


def lines(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    cell, nucleus = _blank(shape)
    for number in range(1, 8):
        ends = [(int(rng.integers(shape[1])), int(rng.integers(shape[0]))) for _ in range(2)]
        mask = cv2.line(np.zeros(shape, np.uint8), *ends, 1, int(rng.integers(1, 3)))
        cell[(mask > 0) & (cell == 0)] = number
    nucleus[:, : shape[1] // 2] = cell[:, : shape[1] // 2]
    return cell, nucleus


def nothing(rng: np.random.Generator, shape: tuple[int, int]) -> Labels:
    return _blank(shape)


MAKERS: tuple[Callable[[np.random.Generator, tuple[int, int]], Labels], ...] = (
    *(one_pixel_cells, whole_image, checkerboard, comb, spiral, holes, noise_labels, discs, discs),
    *(discs, crowd, lines, nothing),
)


def disguised(rng: np.random.Generator, labels: np.ndarray) -> Any:
    """Return the same labels in another type, layout or order of bytes."""
    forms: list[Callable[[np.ndarray], Any]] = [
        lambda a: a,
        lambda a: a.astype(np.uint64),
        lambda a: a.astype(">i4"),
        lambda a: a.astype(np.float32),
        np.asfortranarray,
        lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
        lambda a: a.tolist(),
        _read_only,
        lambda a: a.astype(np.int64),
    ]
    return forms[int(rng.integers(len(forms)))](labels)


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def misfits(rng: np.random.Generator, cell: np.ndarray) -> Iterator[Any]:
    """Yield labels that no image of the size of `cell` can have."""
    yield np.kron(cell, np.ones((2, 2), np.int32))
    yield np.pad(cell, ((0, int(rng.integers(1, 60))), (0, 0)))
    yield np.pad(cell, ((0, 0), (1, 0)))
    if cell.shape[0] != cell.shape[1]:
        yield cell.T
    if cell.shape[0] > 1:
        yield cell[:-1]
        yield cell[::2]
    yield cell.ravel()
    yield cell[None]
    yield cell - 1 - int(cell.max())
    yield cell + 0.5
    yield np.where(cell >= 0, np.nan, 0.0)
    yield cell.astype(str)
    yield cell.astype(np.int64) + 2**40
    yield cell.astype(np.uint64) + np.uint64(2**63)
    yield np.zeros((0, 0), np.int32)
    yield None


class Attack:
    """Counts of what was tried, and what did not hold."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self.report = report
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def fail(self, what: str) -> None:
        """Note what did not hold, with the innermost lines of the current exception."""
        text = f"{what}: {' | '.join(traceback.format_exc(limit=-3).split(chr(10))[-6:])}"
        self.counts["failures"] += 1
        self.failures.append(text)
        self.report(text)

    def measure(self, image: np.ndarray, labels: Labels, rng: np.random.Generator) -> None:
        """Measure all families on masks that are valid, and each alone on some of them."""
        masks = Masks(disguised(rng, labels[0]), disguised(rng, labels[1]))
        table = extract.measure(image, masks, families="all")
        assert len(table) == masks.n_cells
        self.counts["cells"] += masks.n_cells
        if masks.n_cells > 300:
            return
        for name, function in self.some_families(rng):
            prepared = extract.Prepared(image) if rng.random() < 0.5 else image
            given = disguised(rng, masks.nucleus) if function.facts.per_mask else masks
            more = masks.n_cells + int(rng.integers(0, 3))
            values = function(prepared, given, more)
            assert values.shape == (more, len(function.facts.columns)), name
        extract.background_white(image, disguised(rng, masks.cell))
        if masks.n_cells:
            extract.central_cell(masks)
        if masks.n_cells < 60:
            segment.score(masks, masks)
            segment.outline(image, masks)

    def refuse(self, image: np.ndarray, cell: np.ndarray, rng: np.random.Generator) -> None:
        """Give labels that do not fit to every way in: each must raise a `MaskError`."""
        for labels in misfits(rng, cell):
            for name, function in self.some_families(rng):
                if function.facts.per_mask:
                    self.expect(name, function, image, labels)
                    self.expect(name, function, extract.Prepared(image), labels)
                elif isinstance(labels, np.ndarray) and labels.dtype == cell.dtype:
                    try:
                        masks = Masks(labels, np.zeros_like(labels))
                    except MaskError:
                        continue
                    self.expect(name, function, image, masks)
                    self.expect("measure", extract.measure, image, masks)
            self.expect("regions", extract.Prepared(image).regions, labels, 3)
        largest = int(cell.max())
        if largest > 1:
            for name, function in self.some_families(rng):
                if function.facts.per_mask:
                    self.expect(name, function, image, cell, largest - 1)

    def expect(self, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function that must refuse its arguments."""
        self.counts["refusals"] += 1
        try:
            function(*arguments)
        except MaskError:
            return
        except Exception:
            self.fail(f"{name} of misfitting labels")
            return
        self.counts["failures"] += 1
        self.failures.append(f"{name} took labels of {np.shape(arguments[1])}")
        self.report(self.failures[-1])

    def some_families(self, rng: np.random.Generator) -> list[tuple[str, Any]]:
        """Return three families at random."""
        every = list(extract.families().items())
        return [every[int(i)] for i in rng.integers(len(every), size=3)]

    def find(self, image: np.ndarray, rng: np.random.Generator) -> None:
        """Run a segmenter on any image, and measure what it finds."""
        name = str(rng.choice(["contours", "contours", "contours", "unet", "best"]))
        self.counts[f"segmented by {name}"] += 1
        masks = segment.segmenter(name)(images.read(image))
        masks.check_fit(image.shape)
        if 0 < masks.n_cells < 60:
            extract.measure(image, masks, families="fast")


def run(
    seconds: float,
    random_state: int = 0,
    report: Callable[[str], object] = print,
    segmenters: bool = True,
) -> dict[str, Any]:
    """Attack all families, and the segmenters, with hostile masks and images.

    Parameters
    ----------
    seconds : float
        Time to run; the attack under way is finished.
    random_state : int
        Seed. Attack number n of a seed is the same in every run.
    report : callable
        Called with a line for everything that did not hold.
    segmenters : bool
        Also run the segmenters. Default True.

    Returns
    -------
    dict
        Numbers of attacks by kind, and ``failures``, the lines that were reported.
    """
    attack = Attack(report)
    stop = time.monotonic() + seconds
    number = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while time.monotonic() < stop:
            rng = np.random.default_rng([random_state, number])
            shape = shape_of(rng)
            image = picture(rng, shape)
            # All makers and all ways are met in turn, also in a run of a few seconds.
            maker = MAKERS[number % len(MAKERS)]
            labels = maker(rng, shape)
            way = number % 3
            try:
                if way < 2 or not segmenters:
                    attack.counts["masks"] += 1
                    attack.measure(image, labels, rng)
                    if number % 4 == 0:
                        attack.refuse(image, labels[0], rng)
                else:
                    attack.find(image, rng)
            except Exception:
                what = f"attack {number} of seed {random_state}, {maker.__name__} {shape}"
                attack.fail(what)
            number += 1
    return {**attack.counts, "failures": attack.failures}


if __name__ == "__main__":
    import sys

    outcome = run(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(outcome)
    sys.exit(bool(outcome["failures"]))
