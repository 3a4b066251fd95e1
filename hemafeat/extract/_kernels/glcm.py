"""Grey-level co-occurrence: counting the pairs, and what the counts say."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_ANGLES = 4
N_STATISTICS = 25


@kernel
def pairs(levels, runs, box, n_levels, distances):
    """Pairs of grey levels of one cell at every distance and angle.

    Parameters
    ----------
    levels : (H, W) uint8 array
        Grey levels 0..n_levels - 1, with n_levels at most 255.
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one. A pair counts when both of
        its pixels are among them.
    box : (4,) int64 array
        Row start, row stop, column start, column stop of the cell.
    n_levels : int
        Number of grey levels.
    distances : (D,) int64 array
        Chebyshev distances in pixels.

    Returns
    -------
    (D, 4, (n_levels + 1)**2) int32 array
        Ordered pairs (first pixel, second pixel), first-level major. The second pixel lies at
        0, 45, 90 and 135 degrees, rows counting downwards as in scikit-image: to the right, below
        right, below, below left. The last level stands for "outside the cell", so that the loop
        needs no test for the second pixel.
    """
    height = box[1] - box[0]
    width = box[3] - box[2]
    margin = distances.max()
    # One margin between rows serves the right end of a row and the left end of the next.
    stride = width + margin
    padded = np.full((height + margin + 1) * stride + margin, n_levels, np.uint8)
    for run in range(runs.shape[0]):
        row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        start = (row - box[0]) * stride + margin - box[2]
        padded[start + first : start + stop] = levels[row, first:stop]
    n_bins = n_levels + 1
    counts = np.zeros((distances.size, N_ANGLES, n_bins * n_bins), np.int32)
    for which in range(distances.size):
        distance = distances[which]
        right, down = distance, distance * stride
        # Four histograms side by side: a run of equal pixels then waits on four chains, not on one.
        across, falling = counts[which, 0], counts[which, 1]
        upright, rising = counts[which, 2], counts[which, 3]
        for run in range(runs.shape[0]):
            length = runs[run, 2] - runs[run, 1]
            start = (runs[run, 0] - box[0]) * stride + margin + runs[run, 1] - box[2]
            below = start + down
            # Slices that start where the run does: the index is then known to be in range.
            here = padded[start : start + length]
            beside = padded[start + right : start + right + length]
            left_below = padded[below - right : below - right + length]
            straight_below = padded[below : below + length]
            right_below = padded[below + right : below + right + length]
            for k in range(length):
                base = np.uint64(here[k]) * np.uint64(n_bins)
                across[base + np.uint64(beside[k])] += 1
                rising[base + np.uint64(left_below[k])] += 1
                upright[base + np.uint64(straight_below[k])] += 1
                falling[base + np.uint64(right_below[k])] += 1
    return counts


@kernel
def symmetric(counts, n_levels):
    """(n_levels, n_levels) float64 matrix of pairs taken in both orders, without "outside"."""
    n_bins = n_levels + 1
    joint = np.empty((n_levels, n_levels), np.float64)
    for i in range(n_levels):
        for j in range(i, n_levels):
            both = counts[i * n_bins + j] + counts[j * n_bins + i]
            joint[i, j] = both
            joint[j, i] = both
    return joint


@kernel
def statistics(joint, out):
    """The 25 IBSI statistics of one symmetric co-occurrence matrix.

    Parameters
    ----------
    joint : (L, L) float64 array
        Symmetric counts or probabilities; only the upper triangle is read. Entry (i, j) belongs to
        the grey levels i + 1 and j + 1: IBSI numbers levels from 1.
    out : (25,) float64 array
        Filled in the order of ``hemafeat.extract._glcm.STATISTICS``; all NaN where there is no
        pair, and NaN for a correlation of a single grey level.
    """
    n_levels = joint.shape[0]
    marginal = np.zeros(n_levels)
    sums = np.zeros(2 * n_levels - 1)
    differences = np.zeros(n_levels)
    total = 0.0
    for i in range(n_levels):
        total += joint[i, i]
        for j in range(i + 1, n_levels):
            total += 2.0 * joint[i, j]
    if total <= 0.0:
        out[:] = np.nan
        return
    joint_maximum = 0.0
    joint_entropy = 0.0
    angular_second_moment = 0.0
    autocorrelation = 0.0
    for i in range(n_levels):
        for j in range(i, n_levels):
            if joint[i, j] <= 0.0:
                continue
            p = joint[i, j] / total
            joint_maximum = max(joint_maximum, p)
            marginal[i] += p
            both = p
            if j > i:
                marginal[j] += p
                both = 2.0 * p
            sums[i + j] += both
            differences[j - i] += both
            joint_entropy -= both * math.log2(p)
            angular_second_moment += both * p
            autocorrelation += both * (i + 1.0) * (j + 1.0)

    joint_average = 0.0
    marginal_entropy = 0.0
    for i in range(n_levels):
        if marginal[i] > 0.0:
            joint_average += (i + 1.0) * marginal[i]
            marginal_entropy -= marginal[i] * math.log2(marginal[i])
    joint_variance = 0.0
    for i in range(n_levels):
        joint_variance += (i + 1.0 - joint_average) ** 2 * marginal[i]

    sum_average = 0.0
    sum_entropy = 0.0
    sum_variance = 0.0
    cluster_shade = 0.0
    cluster_prominence = 0.0
    for k in range(2 * n_levels - 1):
        if sums[k] > 0.0:
            away = k + 2.0 - 2.0 * joint_average
            sum_average += (k + 2.0) * sums[k]
            sum_entropy -= sums[k] * math.log2(sums[k])
            sum_variance += away**2 * sums[k]
            cluster_shade += away**3 * sums[k]
            cluster_prominence += away**4 * sums[k]

    difference_average = 0.0
    difference_entropy = 0.0
    contrast = 0.0
    inverse_difference = 0.0
    normalised_inverse_difference = 0.0
    inverse_difference_moment = 0.0
    normalised_inverse_difference_moment = 0.0
    inverse_variance = 0.0
    for k in range(n_levels):
        if differences[k] > 0.0:
            difference_average += k * differences[k]
            difference_entropy -= differences[k] * math.log2(differences[k])
            contrast += k * k * differences[k]
            inverse_difference += differences[k] / (1.0 + k)
            normalised_inverse_difference += differences[k] / (1.0 + k / n_levels)
            inverse_difference_moment += differences[k] / (1.0 + k * k)
            normalised_inverse_difference_moment += differences[k] / (1.0 + (k / n_levels) ** 2)
            if k > 0:
                inverse_variance += differences[k] / (k * k)
    difference_variance = 0.0
    for k in range(n_levels):
        difference_variance += (k - difference_average) ** 2 * differences[k]

    # In a symmetric matrix var(x + y) = 2 var + 2 cov and E(x - y)^2 = 2 var - 2 cov, which needs
    # no difference of large numbers; and both cross entropies of the information measures are
    # twice the entropy of the marginal.
    correlation = np.nan
    information_correlation_1 = np.nan
    if sum_variance + contrast > 1e-12:
        correlation = (sum_variance - contrast) / (sum_variance + contrast)
        information_correlation_1 = (joint_entropy - 2.0 * marginal_entropy) / marginal_entropy
    shared = max(2.0 * marginal_entropy - joint_entropy, 0.0)
    information_correlation_2 = math.sqrt(1.0 - math.exp(-2.0 * shared))

    values = (
        joint_maximum,
        joint_average,
        joint_variance,
        joint_entropy,
        difference_average,
        difference_variance,
        difference_entropy,
        sum_average,
        sum_variance,
        sum_entropy,
        angular_second_moment,
        contrast,
        difference_average,  # dissimilarity
        inverse_difference,
        normalised_inverse_difference,
        inverse_difference_moment,
        normalised_inverse_difference_moment,
        inverse_variance,
        correlation,
        autocorrelation,
        sum_variance,  # cluster tendency
        cluster_shade,
        cluster_prominence,
        information_correlation_1,
        information_correlation_2,
    )
    for k in range(N_STATISTICS):
        # Adding zero turns the -0.0 of an empty entropy sum into 0.0.
        out[k] = values[k] + 0.0


@kernel
def over_angles(values, ranged, out):
    """Mean over the angles of every statistic, then the range of those listed in `ranged`.

    Parameters
    ----------
    values : (4, 25) float64 array
        Statistics at 0, 45, 90 and 135 degrees. A NaN is left out; all NaN gives NaN.
    ranged : (M,) int64 array
        Which statistics to give a range for.
    out : (25 + M,) float64 array
        Filled.
    """
    kept = np.empty(N_ANGLES)
    for k in range(N_STATISTICS):
        count = 0
        for angle in range(N_ANGLES):
            value = values[angle, k]
            kept[angle] = 0.0 if np.isnan(value) else value
            count += 0 if np.isnan(value) else 1
        out[k] = np.nan
        if count > 0:
            # A quarter turn swaps 0 with 90 degrees and 45 with 135: in this order the sum of the
            # turned image is the same to the last bit.
            out[k] = ((kept[0] + kept[2]) + (kept[1] + kept[3])) / count
    for place in range(ranged.size):
        low, high = np.inf, -np.inf
        for angle in range(N_ANGLES):
            value = values[angle, ranged[place]]
            if not np.isnan(value):
                low = min(low, value)
                high = max(high, value)
        out[N_STATISTICS + place] = high - low if high >= low else np.nan


@kernel
def measure(levels, run_starts, runs, boxes, n_levels, distances, ranged):
    """Statistics of every cell and distance, over the angles.

    Parameters
    ----------
    levels, n_levels, distances
        As for `pairs`.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    ranged
        As for `over_angles`.

    Returns
    -------
    (n_cells, D, 25 + M) float64 array
        NaN where there is no pair.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, distances.size, N_STATISTICS + ranged.size), np.nan)
    values = np.empty((N_ANGLES, N_STATISTICS))
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        counts = pairs(levels, own, boxes[cell], n_levels, distances)
        for which in range(distances.size):
            for angle in range(N_ANGLES):
                statistics(symmetric(counts[which, angle], n_levels), values[angle])
            over_angles(values, ranged, out[cell, which])
    return out
