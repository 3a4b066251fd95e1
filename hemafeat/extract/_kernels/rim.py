"""The cytoplasm around a nucleus by direction, and the fringe of a cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.contour import (
    boundary,
    join,
    local_runs,
    perimeter_crofton,
    root,
)
from hemafeat.extract._kernels.region.moments import covariance
from hemafeat.extract._kernels.region.opening import opened, runs_of
from hemafeat.extract._kernels.region.symmetry import widest_gap
from hemafeat.extract._kernels.region.thinning import packed

N_RIM = 13
BARE = 1.0
"""Thickness in px up to which a direction counts as without cytoplasm."""
OPENING = 0.1
"""Radius of the octagon as a share of the equivalent radius of the cell."""


@kernel
def rim_of_cells(profile, nucleus_starts, nucleus_runs, cell_starts, cell_runs, boxes):
    """The columns of the family ``rim``; a row of NaN where nucleus or cell is missing.

    Parameters
    ----------
    profile : (n_cells, 72) float64 array
        As ``rays.profiles`` gives it.
    nucleus_starts, nucleus_runs, cell_starts, cell_runs
        Runs of the nuclei and of the cells.
    boxes : (n_cells, 4) int64 array
        Bounding boxes of the cells.
    """
    n_cells = profile.shape[0]
    out = np.full((n_cells, N_RIM), np.nan)
    for k in range(n_cells):
        inner = nucleus_runs[nucleus_starts[k] : nucleus_starts[k + 1]]
        outer = cell_runs[cell_starts[k] : cell_starts[k + 1]]
        if inner.shape[0] == 0 or outer.shape[0] == 0:
            continue
        directions(profile[k], out[k, :8])
        top, bottom, left, right = boxes[k]
        runs, rows = local_runs(outer, top, left, bottom - top)
        area, y, x, _, _, _ = covariance(outer)
        first, last = inner[0, 0], inner[inner.shape[0] - 1, 0]
        # Columns count from the box of the cell, which may begin to the right of a nucleus' runs.
        moved, moved_rows = local_runs(inner, first, left, last + 1 - first)
        seen = boundary(moved, moved_rows)
        out[k, 8] = math.degrees(widest_gap(seen, y - first, x - left))
        fringe(runs, rows, area, right - left, out[k, 9:13])
    return out


@kernel
def directions(profile, out):
    """Percentiles of the thickness, where it is missing, and to which side it leans."""
    used = np.empty(profile.size)
    n = 0
    for ray in range(profile.size):
        if math.isfinite(profile[ray]):
            place = n
            while place > 0 and used[place - 1] > profile[ray]:
                used[place] = used[place - 1]
                place -= 1
            used[place] = profile[ray]
            n += 1
    used = used[:n]
    if n == 0:
        return
    for place in range(3):
        at = (0.1 + 0.4 * place) * (n - 1)
        low = int(at)
        high = min(low + 1, n - 1)
        out[place] = used[low] + (at - low) * (used[high] - used[low])
    out[3] = (used <= BARE).mean()
    n_rays = profile.size
    longest = here = 0
    for ray in range(2 * n_rays):
        here = here + 1 if profile[ray % n_rays] <= BARE else 0
        longest = max(longest, here)
    out[4] = min(longest, n_rays) * 360.0 / n_rays
    total = used.sum()
    if total > 0.0:
        for fold in range(1, 4):
            u = v = 0.0
            for ray in range(n_rays):
                if math.isfinite(profile[ray]):
                    angle = fold * (ray + 0.5) * (2.0 * math.pi / n_rays)
                    u += profile[ray] * math.cos(angle)
                    v += profile[ray] * math.sin(angle)
            out[4 + fold] = math.hypot(u, v) / total


@kernel
def fringe(runs, rows, area, width, out):
    """What an opening takes away from a cell: perimeter, parts, area."""
    radius = max(int(OPENING * math.sqrt(area / math.pi) + 0.5), 1)
    bits = packed(runs, rows, width)
    kept = opened(bits, radius)
    kept_runs, kept_rows = runs_of(kept)
    if kept_runs.shape[0] > 0:
        out[0] = perimeter_crofton(runs, rows) / perimeter_crofton(kept_runs, kept_rows) - 1.0
    rest, rest_rows = runs_of(bits & ~kept)
    parent, _ = join(rest, rest_rows, 1)
    size = np.zeros(rest.shape[0], np.int64)
    for run in range(rest.shape[0]):
        size[root(parent, run)] += rest[run, 2] - rest[run, 1]
    out[1] = (2 * size >= radius * radius).sum()
    out[2] = size.sum() / area
    out[3] = size.max() / area if size.size > 0 else 0.0
