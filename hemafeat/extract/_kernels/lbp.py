"""Local binary patterns: the bits of every pixel, and their bins.

A sample on the circle lies at (y, x) from its pixel, both rounded to 5 decimals, so the bilinear
weights are whole multiples of 1e-10. Whether a sample reaches its centre is decided by whole
numbers, the same at every place of an image and on every machine: at first with 16 bits, sixteen
pixels at a time, and where these do not suffice once more with all digits.
"""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

ONE = 100_000
"""A pixel in the units of sample positions."""

STRETCH = 2048
"""Pixels at a time: their samples stay in the fastest memory."""

# Grey levels are held in 1/128. A product with a weight in 1/65536, cut to a whole number, is off
# by less than 1.5 of these, a line by another 1.75: what is measured beyond them has its sign.
BELOW, ABOVE = -3, 2


@kernel
def compare(near, far, centre, weight, bit, bits, unsure):
    """Set `bit` where samples between two columns reach their centres, and where that is unsure."""
    for k in range(bits.size):
        step = np.int16(np.int32(far[k]) - np.int32(near[k]))
        more = np.int16(np.int32(near[k]) + ((np.int64(step) * weight) >> 16) - np.int32(centre[k]))
        bits[k] |= bit if more >= 0 else np.uint16(0)
        # Four neighbours of the centre's own level are a certain tie.
        certain = (more == 0) & (step == 0)
        close = (more >= BELOW) & (more <= ABOVE) & (not certain)
        unsure[k] |= bit if close else np.uint16(0)


@kernel
def bits_of(plane, first, stop, stride, radius, heights, points, weights, parts, lines, work, code):
    """Bits of the pixels of a stretch.

    Rows follow each other in memory, so a stretch may be many rows long, and no loop is short. What
    it gives for the `radius` pixels on each side of a row means nothing.

    Parameters
    ----------
    plane : (N,) int16 array
        128 times the grey levels of a plane in raster order, `stride` from row to row.
    first, stop : int
        Pixels ``plane[first:stop]``; `radius` rows and pixels before and after them must exist.
    radius : int
        Radius of the circle in pixels.
    heights : (D, 2) int64 array
        Distinct heights of samples: whole rows (rounded down), and the rest in units of 1/`ONE`.
    points : (P, 3) int64 array
        Samples: which height, whole columns (rounded down), and the rest in units of 1/`ONE`.
    weights : (D + P,) int16 array
        Of each height, then of each point: weight in 1/65536 of the farther of the two neighbours.
    parts : (P, 4) int64 array
        Exact weights in 1/`ONE`**2 of the four neighbours of each point.
    lines : (D, >= stop - first + 2 * radius) int16 array
        Work space.
    work : (4, >= stop - first) uint16 array
        Work space.
    code : (>= stop - first,) uint32 array
        Filled: bit i is set where sample i is at least as bright as the centre.
    """
    n = stop - first
    wide = n + 2 * radius
    # Samples of one height share the interpolation between rows. Where the two rows differ the
    # last bit is set, so that 128 times a grey level is found only where both have that level.
    for which in range(heights.shape[0]):
        above = first - radius + heights[which, 0] * stride
        line = lines[which][:wide]
        near = plane[above : above + wide]
        if heights[which, 1] == 0:
            for k in range(wide):
                line[k] = near[k]
            continue
        far = plane[above + stride : above + stride + wide]
        if 2 * heights[which, 1] > ONE:
            near, far = far, near
        weight = weights[which]
        for k in range(wide):
            step = np.int16(np.int32(far[k]) - np.int32(near[k]))
            value = np.int32(near[k]) + ((np.int64(step) * weight) >> 16)
            line[k] = value | np.int32(step != 0)
    centre = plane[first:stop]
    low, high = work[0][:n], work[1][:n]
    unsure_low, unsure_high = work[2][:n], work[3][:n]
    for k in range(n):
        low[k] = high[k] = unsure_low[k] = unsure_high[k] = np.uint16(0)
    for point in range(points.shape[0]):
        which, across, rest = points[point, 0], points[point, 1], points[point, 2]
        bits, unsure = (low, unsure_low) if point < 16 else (high, unsure_high)
        bit = np.uint16(np.int64(1) << np.int64(point % 16))
        if rest == 0 and heights[which, 1] == 0:
            place = first + heights[which, 0] * stride + across
            there = plane[place : place + n]
            for k in range(n):
                bits[k] |= bit if there[k] >= centre[k] else np.uint16(0)
            continue
        start = radius + across
        near = lines[which][start : start + n]
        far = near
        if rest > 0:
            far = lines[which][start + 1 : start + 1 + n]
            if 2 * rest > ONE:
                near, far = far, near
        compare(near, far, centre, weights[heights.shape[0] + point], bit, bits, unsure)
    for k in range(n):
        code[k] = np.int64(low[k]) | (np.int64(high[k]) << 16)
    for k in range(n):
        left = np.int64(unsure_low[k]) | (np.int64(unsure_high[k]) << 16)
        while left != 0:
            bit = left & -left
            left ^= bit
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
            found = np.int64(code[k])
            code[k] = found | bit if value >= 0 else found & ~bit


@kernel
def count_bits(x):
    """Set bits of a uint32."""
    x = np.uint32(x - ((x >> np.uint32(1)) & np.uint32(0x55555555)))
    x = np.uint32((x & np.uint32(0x33333333)) + ((x >> np.uint32(2)) & np.uint32(0x33333333)))
    x = np.uint32((x + (x >> np.uint32(4))) & np.uint32(0x0F0F0F0F))
    x = np.uint32(x + (x >> np.uint32(8)))
    return np.uint32((x + (x >> np.uint32(16))) & np.uint32(0x3F))


@kernel
def rotation_invariant(code, n_points, bins):
    """Ones of each uniform pattern, n_points + 1 for the others (riu2)."""
    other = np.uint32(n_points + 1)
    shift = np.uint32(n_points - 1)
    for k in range(bins.size):
        x = code[k]
        turned = np.uint32((x >> np.uint32(1)) | np.uint32((x & np.uint32(1)) << shift))
        ones, changes = count_bits(x), count_bits(np.uint32(x ^ turned))
        bins[k] = ones if changes <= np.uint32(2) else other


@kernel
def numbered(code, n_points, bins):
    """A number for each uniform pattern, n_points * (n_points - 1) + 2 for the others (u2)."""
    last = np.uint32(n_points - 1)
    full = np.int64((np.int64(1) << n_points) - 1)
    for k in range(bins.size):
        x = code[k]
        before = np.uint32(np.int64(x) << 1 & full | np.int64(x >> last))
        ones, changes = np.int64(count_bits(x)), count_bits(np.uint32(x ^ before))
        # The one place where ones begin, counted from the end: how far they are turned down.
        first = np.int64(np.uint32(x & ~before))
        begins = np.int64(count_bits(np.uint32(max(first - 1, 0))))
        number = 1 + (ones - 1) * n_points + (n_points - begins) % n_points
        if x == 0:
            number = 0
        elif np.int64(x) == full:
            number = n_points * (n_points - 1) + 1
        elif changes > np.uint32(2):
            number = n_points * (n_points - 1) + 2
        bins[k] = number


@kernel
def put_bins(code, n_points, method, bins):
    """Bins of codes: 0 the codes themselves, 1 riu2, 2 u2."""
    if method == 1:
        rotation_invariant(code, n_points, bins)
    elif method == 2:
        numbered(code, n_points, bins)
    else:
        for k in range(bins.size):
            bins[k] = code[k]


@kernel
def plane_codes(padded, radius, heights, points, weights, parts, method):
    """(H, W) int32 bins of a whole plane, which has been padded by `radius` on each side."""
    stride = padded.shape[1]
    plane = np.empty(padded.size, np.int16)
    for row in range(padded.shape[0]):
        for column in range(stride):
            plane[row * stride + column] = np.int64(padded[row, column]) * 128
    lines = np.empty((heights.shape[0], STRETCH + 2 * radius), np.int16)
    work = np.empty((4, STRETCH), np.uint16)
    code = np.empty(STRETCH, np.uint32)
    out = np.empty(plane.size, np.int32)
    begin = radius * stride + radius
    for first in range(begin, plane.size - begin, STRETCH):
        stop = min(first + STRETCH, plane.size - begin)
        bits_of(
            plane, first, stop, stride, radius, heights, points, weights, parts, lines, work, code
        )
        put_bins(code, points.shape[0], method, out[first:stop])
    return out.reshape(padded.shape)[radius:-radius, radius:-radius].copy()


@kernel
def rounded_codes(padded, margin, down, right, low, far, method):
    """Bins of a whole plane by the operations of scikit-image in their order.

    Parameters
    ----------
    padded : (H + 2 margin, W + 2 margin) float64 array
        Grey levels, 0 in the margin.
    margin : int
        At least the radius + 1.
    down, right : (P,) int64 array
        Whole rows and columns of each sample, rounded down.
    low : (P, H) float64 array
        What is left of the row of the sample, of each pixel's row.
    far : (P, W) float64 array
        The same of columns.
    method : int
        As for `put_bins`.

    Returns
    -------
    (H, W) int32 array
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
        put_bins(code, n_points, method, out[row])
    return out


@kernel
def bin_plane(plane, run_starts, runs, boxes, radius, heights, points, weights, parts, table, out):
    """Bin of every pixel whose circle may lie inside its cell.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    radius, heights, points, weights, parts
        As for `bits_of`.
    table : (2**P,) uint8 array
        Bin of each code; when empty, bins are rotation invariant.
    out : (H, W) uint8 array
        Filled where a cell reaches `radius` pixels to the left and right, above and below.
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
        # Nothing is unsure in what is left at 0.
        patch = np.zeros(height * stride, np.int16)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, start, end = runs[run, 0], runs[run, 1], runs[run, 2]
            line, into = plane[row][start:end], patch[(row - top) * stride + start - left :]
            for k in range(end - start):
                into[k] = np.int64(line[k]) * 128
        found = np.empty(height * stride, np.uint8)
        begin = radius * stride + radius
        for first in range(begin, patch.size - begin, STRETCH):
            stop = min(first + STRETCH, patch.size - begin)
            bits_of(
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
            bins = found[first:stop]
            if table.size > 0:
                for k in range(stop - first):
                    bins[k] = table[code[k]]
            else:
                rotation_invariant(code, n_points, bins)
        for run in range(run_starts[cell], run_starts[cell + 1]):
            row, start, end = runs[run, 0], runs[run, 1] + radius, runs[run, 2] - radius
            if top + radius <= row < top + height - radius and start < end:
                place = (row - top) * stride - left
                out[row, start:end] = found[place + start : place + end]
