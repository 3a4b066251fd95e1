"""Local binary patterns: the bits of every pixel, their bins, and histograms of the bins.

A sample on the circle lies at (y, x) from its pixel, both rounded to 5 decimals, so that the
bilinear weights are integer multiples of 1e-10. Samples are compared with their centre in integer
arithmetic, with the same result everywhere in an image and on every machine: first in 16 bits,
sixteen pixels at a time, and where these do not suffice once more with all digits.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel

ONE = 100_000
"""One pixel in the units of sample positions."""

N_U2 = 59
N_RIU2_8, N_RIU2_16, N_RIU2_24 = 10, 18, 26
"""Number of bins of u2 with 8 points, and of riu2 with 8, 16 and 24 points."""

COLUMNS = (
    *(f"u2_{code:02d}" for code in range(N_U2)),
    *(f"riu2_p8_{code}" for code in range(N_RIU2_8)),
    *(f"riu2_p16_{code:02d}" for code in range(N_RIU2_16)),
    *(f"riu2_p24_{code:02d}" for code in range(N_RIU2_24)),
    *(f"entropy_p{n_points}" for n_points in (8, 16, 24)),
    *(f"uniform_share_p{n_points}" for n_points in (8, 16, 24)),
)
"""Columns of the family ``lbp``."""

AT = indices(COLUMNS)

U2, RIU2_8 = range(2)
HISTOGRAMS = np.array(
    [
        (1, AT.u2_00, N_U2),
        (1, AT.riu2_p8_0, N_RIU2_8),
        (2, AT.riu2_p16_00, N_RIU2_16),
        (3, AT.riu2_p24_00, N_RIU2_24),
    ]
)
"""Radius, first column and number of bins of each histogram."""

STRETCH = 2048
"""Number of pixels processed at a time, whose samples fit into the first-level cache."""

# Grey levels are in units of 1/128. A product with a weight in 1/65536, truncated to an integer,
# has an error below 1.5 units, and a line another 1.75: larger differences have the right sign.
BELOW, ABOVE = -3, 2


@inlined
def compare(near, far, centre, weight, bit, bits, uncertain):
    """Set `bit` where samples between two columns reach their centres or it is uncertain."""
    for k in range(bits.size):
        step = np.int16(np.int32(far[k]) - np.int32(near[k]))
        difference = np.int16(
            np.int32(near[k]) + ((np.int64(step) * weight) >> 16) - np.int32(centre[k])
        )
        bits[k] |= bit if difference >= 0 else np.uint16(0)
        # If all four neighbours have the level of the centre, it is a tie.
        is_tie = (difference == 0) & (step == 0)
        is_close = (difference >= BELOW) & (difference <= ABOVE) & (not is_tie)
        uncertain[k] |= bit if is_close else np.uint16(0)


@inlined
def compute_bits(
    plane, first, stop, stride, radius, heights, points, weights, parts, lines, work, code
):
    """Compute the bits of consecutive pixels in raster order.

    As rows follow each other in memory, many rows can be processed in one loop. The results for the
    `radius` pixels at both ends of a row are meaningless.

    Parameters
    ----------
    plane : (N,) int16 array
        128 times the grey levels of a plane in raster order, `stride` from row to row.
    first, stop : int
        The pixels are ``plane[first:stop]``; `radius` rows and pixels before and after them must
        exist.
    radius : int
        Radius of the circle in pixels.
    heights : (D, 2) int64 array
        Distinct heights of samples: whole rows (rounded down), and the fraction in units of
        1/`ONE`.
    points : (P, 3) int64 array
        Samples: index of the height, whole columns (rounded down), and the fraction in units of
        1/`ONE`.
    weights : (D + P,) int16 array
        Weight in 1/65536 of the farther of the two neighbours, of each height, then of each point.
    parts : (P, 4) int64 array
        Exact weights in 1/`ONE`**2 of the four neighbours of each point.
    lines : (D, >= stop - first + 2 * radius) int16 array
        Work space.
    work : (4, >= stop - first) uint16 array
        Work space.
    code : (>= stop - first,) uint32 array
        Filled; bit i is set where sample i is at least as bright as the centre.
    """
    n = stop - first
    wide = n + 2 * radius
    # Samples of one height share the interpolation between rows. The last bit is set where the two
    # rows differ, so that a multiple of 128 means that both have that grey level.
    for height in range(heights.shape[0]):
        above = first - radius + heights[height, 0] * stride
        line = lines[height][:wide]
        near = plane[above : above + wide]
        if heights[height, 1] == 0:
            for k in range(wide):
                line[k] = near[k]
            continue
        far = plane[above + stride : above + stride + wide]
        if 2 * heights[height, 1] > ONE:
            near, far = far, near
        weight = weights[height]
        for k in range(wide):
            step = np.int16(np.int32(far[k]) - np.int32(near[k]))
            value = np.int32(near[k]) + ((np.int64(step) * weight) >> 16)
            line[k] = value | np.int32(step != 0)
    centre = plane[first:stop]
    low, high = work[0][:n], work[1][:n]
    uncertain_low, uncertain_high = work[2][:n], work[3][:n]
    for k in range(n):
        low[k] = high[k] = uncertain_low[k] = uncertain_high[k] = np.uint16(0)
    for point in range(points.shape[0]):
        height, column, fraction = points[point, 0], points[point, 1], points[point, 2]
        bits, uncertain = (low, uncertain_low) if point < 16 else (high, uncertain_high)
        bit = np.uint16(np.int64(1) << np.int64(point % 16))
        if fraction == 0 and heights[height, 1] == 0:
            start = first + heights[height, 0] * stride + column
            neighbour = plane[start : start + n]
            for k in range(n):
                bits[k] |= bit if neighbour[k] >= centre[k] else np.uint16(0)
            continue
        start = radius + column
        near = lines[height][start : start + n]
        far = near
        if fraction > 0:
            far = lines[height][start + 1 : start + 1 + n]
            if 2 * fraction > ONE:
                near, far = far, near
        compare(near, far, centre, weights[heights.shape[0] + point], bit, bits, uncertain)
    for k in range(n):
        code[k] = np.int64(low[k]) | (np.int64(high[k]) << 16)
    for k in range(n):
        remaining = np.int64(uncertain_low[k]) | (np.int64(uncertain_high[k]) << 16)
        while remaining != 0:
            bit = remaining & -remaining
            remaining ^= bit
            point = np.int64(count_bits(np.uint32(bit - 1)))
            above = first + k + heights[points[point, 0], 0] * stride + points[point, 1]
            value = -np.int64(plane[first + k]) * (ONE * ONE)
            value += parts[point, 0] * plane[above]
            if parts[point, 1] > 0:
                value += parts[point, 1] * plane[above + 1]
            if parts[point, 2] > 0:
                value += parts[point, 2] * plane[above + stride]
            if parts[point, 3] > 0:
                value += parts[point, 3] * plane[above + stride + 1]
            value_bits = np.int64(code[k])
            code[k] = value_bits | bit if value >= 0 else value_bits & ~bit


@kernel
def count_bits(x):
    """Return the number of bits that are set in a uint32."""
    x = np.uint32(x - ((x >> np.uint32(1)) & np.uint32(0x55555555)))
    x = np.uint32((x & np.uint32(0x33333333)) + ((x >> np.uint32(2)) & np.uint32(0x33333333)))
    x = np.uint32((x + (x >> np.uint32(4))) & np.uint32(0x0F0F0F0F))
    x = np.uint32(x + (x >> np.uint32(8)))
    return np.uint32((x + (x >> np.uint32(16))) & np.uint32(0x3F))


@kernel
def rotation_invariant(code, n_points, bins):
    """Set bins to the number of ones of a uniform pattern, else to n_points + 1 (riu2)."""
    other = np.uint32(n_points + 1)
    shift = np.uint32(n_points - 1)
    for k in range(bins.size):
        x = code[k]
        rotated = np.uint32((x >> np.uint32(1)) | np.uint32((x & np.uint32(1)) << shift))
        ones, changes = count_bits(x), count_bits(np.uint32(x ^ rotated))
        bins[k] = ones if changes <= np.uint32(2) else other


@inlined
def uniform_number(code, n_points, bins):
    """Set bins to the number of a uniform pattern, else to n_points * (n_points - 1) + 2 (u2)."""
    last = np.uint32(n_points - 1)
    full = np.int64((np.int64(1) << n_points) - 1)
    for k in range(bins.size):
        x = code[k]
        rotated = np.uint32(np.int64(x) << 1 & full | np.int64(x >> last))
        ones, changes = np.int64(count_bits(x)), count_bits(np.uint32(x ^ rotated))
        # The position at which the ones begin tells by how much the pattern is rotated.
        lowest = np.int64(np.uint32(x & ~rotated))
        first_index = np.int64(count_bits(np.uint32(max(lowest - 1, 0))))
        number = 1 + (ones - 1) * n_points + (n_points - first_index) % n_points
        if x == 0:
            number = 0
        elif np.int64(x) == full:
            number = n_points * (n_points - 1) + 1
        elif changes > np.uint32(2):
            number = n_points * (n_points - 1) + 2
        bins[k] = number


@kernel
def assign_bins(code, n_points, method, bins):
    """Set bins by the method: 0 for the codes themselves, 1 for riu2, 2 for u2."""
    if method == 1:
        rotation_invariant(code, n_points, bins)
    elif method == 2:
        uniform_number(code, n_points, bins)
    else:
        for k in range(bins.size):
            bins[k] = code[k]


@kernel
def plane_codes(padded, radius, heights, points, weights, parts, method):
    """Return the (H, W) int32 bins of a plane that is padded by `radius` on each side."""
    stride = padded.shape[1]
    plane = np.empty(padded.size, np.int16)
    for row in range(padded.shape[0]):
        for column in range(stride):
            plane[row * stride + column] = np.int64(padded[row, column]) * 128
    lines = np.empty((heights.shape[0], STRETCH + 2 * radius), np.int16)
    work = np.empty((4, STRETCH), np.uint16)
    code = np.empty(STRETCH, np.uint32)
    out = np.empty(plane.size, np.int32)
    margin = radius * stride + radius
    for first in range(margin, plane.size - margin, STRETCH):
        stop = min(first + STRETCH, plane.size - margin)
        compute_bits(
            plane, first, stop, stride, radius, heights, points, weights, parts, lines, work, code
        )
        assign_bins(code, points.shape[0], method, out[first:stop])
    return out.reshape(padded.shape)[radius:-radius, radius:-radius].copy()


@kernel
def rounded_codes(padded, margin, down, right, low, far, method):
    """Compute the bins of a plane by the operations of scikit-image, in the same order.

    Parameters
    ----------
    padded : (H + 2 margin, W + 2 margin) float64 array
        Grey levels, 0 in the margin.
    margin : int
        Width of the margin, at least the radius + 1.
    down, right : (P,) int64 array
        Whole rows and columns of each sample, rounded down.
    low : (P, H) float64 array
        Fraction of the row of each sample, for each row of the plane.
    far : (P, W) float64 array
        Fraction of the column of each sample, for each column of the plane.
    method : int
        Kind of bins, as for `assign_bins`.

    Returns
    -------
    (H, W) int32 array
        Bins.
    """
    n_points, height = low.shape
    width = far.shape[1]
    bits = np.empty(width, np.int64)
    code = np.empty(width, np.uint32)
    out = np.empty((height, width), np.int32)
    for row in range(height):
        centre = padded[row + margin, margin : margin + width]
        for k in range(width):
            bits[k] = 0
        for point in range(n_points):
            above = row + margin + down[point]
            left = margin + right[point]
            upper = padded[above, left : left + width]
            upper_beside = padded[above, left + 1 : left + 1 + width]
            lower = padded[above + 1, left : left + width]
            lower_beside = padded[above + 1, left + 1 : left + 1 + width]
            share = far[point]
            under = low[point, row]
            bit = np.int64(1) << np.int64(point)
            for k in range(width):
                top = (1.0 - share[k]) * upper[k] + share[k] * upper_beside[k]
                bottom = (1.0 - share[k]) * lower[k] + share[k] * lower_beside[k]
                value = (1.0 - under) * top + under * bottom
                bits[k] |= bit if value - centre[k] >= 0.0 else np.int64(0)
        for k in range(width):
            code[k] = bits[k]
        assign_bins(code, n_points, method, out[row])
    return out


@kernel
def bin_plane(plane, run_starts, runs, boxes, radius, heights, points, weights, parts, table, out):
    """Compute the bin of every pixel whose circle can lie inside its cell.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the cells, as returned by the kernels of ``region.runs``.
    radius, heights, points, weights, parts
        Circle, as for `compute_bits`.
    table : (2**P,) uint8 array
        Bin of each code; if it is empty, bins are rotation invariant.
    out : (H, W) uint8 array
        Filled where a cell extends `radius` pixels to the left and right, above and below.
    """
    n_points = points.shape[0]
    lines = np.empty((heights.shape[0], STRETCH + 2 * radius), np.int16)
    work = np.empty((4, STRETCH), np.uint16)
    code = np.empty(STRETCH, np.uint32)
    for cell in range(boxes.shape[0]):
        top, left = boxes[cell, 0], boxes[cell, 2]
        height, stride = boxes[cell, 1] - top, boxes[cell, 3] - left
        if height <= 2 * radius or stride <= 2 * radius:
            continue
        # Outside the cell all samples tie with certainty.
        patch = np.zeros(height * stride, np.int16)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, start, end = runs[run, 0], runs[run, 1], runs[run, 2]
            line, target = plane[row][start:end], patch[(row - top) * stride + start - left :]
            for k in range(end - start):
                target[k] = np.int64(line[k]) * 128
        bins_out = np.empty(height * stride, np.uint8)
        margin = radius * stride + radius
        for first in range(margin, patch.size - margin, STRETCH):
            stop = min(first + STRETCH, patch.size - margin)
            compute_bits(
                patch,
                first,
                stop,
                stride,
                radius,
                heights,
                points,
                weights,
                parts,
                lines,
                work,
                code,
            )
            bins = bins_out[first:stop]
            if table.size > 0:
                for k in range(stop - first):
                    bins[k] = table[code[k]]
            else:
                rotation_invariant(code, n_points, bins)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, start, end = runs[run, 0], runs[run, 1] + radius, runs[run, 2] - radius
            if top + radius <= row < top + height - radius and start < end:
                offset = (row - top) * stride - left
                for x in range(start, end):
                    out[row, x] = bins_out[offset + x]


@inlined
def depth_map(runs, box, max_depth):
    """Compute the depth of each pixel inside its cell.

    Parameters
    ----------
    runs : (M, 3) int64 array
        Pixel runs of the cell: row, first column and column after the last one.
    box : (4,) int64 array
        Row start, row stop, column start, column stop of the cell.
    max_depth : int
        Depth at which to stop.

    Returns
    -------
    (height, width) uint8 array
        Depth of the pixels of the box: 0 outside the cell, else k + 1 where the square of side
        2 k + 1 around the pixel lies in the cell.
    """
    height, width = box[1] - box[0], box[3] - box[2]
    inside = np.zeros((height, width), np.uint8)
    for run in range(runs.shape[0]):
        first, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
        line = inside[runs[run, 0] - box[0]]
        for k in range(first, stop):
            line[k] = 1
    total = inside.copy()
    across = np.zeros((height, width), np.uint8)
    for step in range(1, max_depth + 1):
        if height <= 2 * step or width <= 2 * step:
            break
        for row in range(height):
            left, centre, right = inside[row, :-2], inside[row, 1:-1], inside[row, 2:]
            line = across[row, 1:-1]
            for k in range(width - 2):
                line[k] = left[k] & centre[k] & right[k]
        inside = np.zeros((height, width), np.uint8)
        for row in range(1, height - 1):
            above, centre, below = across[row - 1], across[row], across[row + 1]
            line, sum_line = inside[row], total[row]
            for k in range(width):
                line[k] = above[k] & centre[k] & below[k]
                sum_line[k] += line[k]
    return total


@kernel
def histograms(planes, run_starts, runs, boxes, invariant, out):
    """Compute the shares of patterns, their entropies and the share of uniform ones.

    Parameters
    ----------
    planes : (3, H, W) uint8 array
        Bins of 8 points at radius 1 (0..58), 16 points at radius 2 (0..17) and 24 points at
        radius 3 (0..25).
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the cells, as returned by the kernels of ``region.runs``.
    invariant : (59,) int64 array
        Rotation-invariant bin 0..9 of each bin of 8 points.
    out : (n_cells, 119) float64 array
        Filled: the `COLUMNS`, where pixels of a cell are deep enough.
    """
    # Two histograms of each kind are used in turn, so that equal neighbours do not increment the
    # same bin. The last bin counts the pixels that are not deep enough.
    counts = np.empty((2, N_U2 + 1), np.int64)
    for cell in range(boxes.shape[0]):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            continue
        top, left = boxes[cell, 0], boxes[cell, 2]
        depths = depth_map(cell_runs, boxes[cell], 3)
        for kind in range(HISTOGRAMS.shape[0]):
            radius, first_column = HISTOGRAMS[kind, 0], HISTOGRAMS[kind, 1]
            n_bins = HISTOGRAMS[kind, 2]
            if kind != RIU2_8:
                for k in range(N_U2 + 1):
                    counts[0, k] = counts[1, k] = 0
                for run in range(cell_runs.shape[0]):
                    row, first, stop = cell_runs[run, 0], cell_runs[run, 1], cell_runs[run, 2]
                    depth_line = depths[row - top, first - left : stop - left]
                    bins = planes[radius - 1, row, first:stop]
                    for k in range(bins.size):
                        counts[k & 1, bins[k] if depth_line[k] > radius else N_U2] += 1
                for k in range(N_U2):
                    counts[0, k] += counts[1, k]
            else:
                # Those of `U2`, which comes first, are summed up.
                for k in range(N_RIU2_8):
                    counts[1, k] = 0
                for k in range(N_U2):
                    counts[1, invariant[k]] += counts[0, k]
                for k in range(N_RIU2_8):
                    counts[0, k] = counts[1, k]
            total = 0
            for k in range(n_bins):
                total += counts[0, k]
            if total == 0:
                continue
            entropy = share = 0.0
            for k in range(n_bins):
                share = counts[0, k] / total
                out[cell, first_column + k] = share
                if share > 0.0:
                    entropy -= share * math.log2(share)
            if kind != U2:
                # Adding zero turns the -0.0 of a single pattern into 0.0.
                out[cell, AT.entropy_p8 + radius - 1] = entropy + 0.0
                out[cell, AT.uniform_share_p8 + radius - 1] = 1.0 - share
