"""Grey-level co-occurrence: counts of pixel pairs and the statistics of these counts."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, inlined, kernel
from hemafeat.extract._kernels.matrices import weighted_log
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_ANGLES = 4

STATISTICS = (
    "joint_maximum",
    "joint_average",
    "joint_variance",
    "joint_entropy",
    "difference_average",
    "difference_variance",
    "difference_entropy",
    "sum_average",
    "sum_variance",
    "sum_entropy",
    "angular_second_moment",
    "contrast",
    "dissimilarity",
    "inverse_difference",
    "normalised_inverse_difference",
    "inverse_difference_moment",
    "normalised_inverse_difference_moment",
    "inverse_variance",
    "correlation",
    "autocorrelation",
    "cluster_tendency",
    "cluster_shade",
    "cluster_prominence",
    "information_correlation_1",
    "information_correlation_2",
)
"""Names of the statistics of one matrix in the order in which they are computed."""

AT = indices(STATISTICS)

N_STATISTICS = len(STATISTICS)


@kernel
def count_pairs(patch, runs, box, n_levels, distance, margin, counts):
    """Count the pairs of grey levels of one cell at one distance and four angles.

    Parameters
    ----------
    patch, box, margin
        Patch of the cell, its bounding box and the margin of the patch; see ``patches``.
    runs : (M, 3) int64 array
        Pixel runs of the cell: row, first column, column after the last one. A pair counts when
        both of its pixels are among them.
    n_levels : int
        Number of grey levels.
    distance : int
        Chebyshev distance in pixels, at most the margin.
    counts : ((n_levels + 1)**2 * 4,) int32 array
        Filled with the counts of ordered pairs (first pixel, second pixel), sorted by the level of
        the first pixel, then of the second, then by the angle: 0, 45, 90 and 135 degrees, rows
        counting downwards as in scikit-image, so that the second pixel lies to the right, below
        right, below, below left. The last level means "outside the cell", which saves a test of
        the second pixel in the loop.
    """
    corner, stride = origin(box, margin)
    n_bins = n_levels + 1
    down = distance * stride
    for k in range(counts.size):
        counts[k] = 0
    for run in range(runs.shape[0]):
        length = runs[run, 2] - runs[run, 1]
        start = corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
        below = start + down
        # Slices that begin at the run, so that the compiler knows that the index is in range.
        centre = patch[start : start + length]
        right = patch[start + distance : start + distance + length]
        left_below = patch[below - distance : below - distance + length]
        straight_below = patch[below : below + length]
        right_below = patch[below + distance : below + distance + length]
        # The angles are neighbours in one histogram: they share one address, and increments of
        # equal pixels do not wait for each other.
        for k in range(length):
            base = np.uint64(centre[k]) * np.uint64(n_bins * N_ANGLES)
            counts[base + np.uint64(right[k]) * np.uint64(N_ANGLES)] += 1
            counts[base + np.uint64(right_below[k]) * np.uint64(N_ANGLES) + np.uint64(1)] += 1
            counts[base + np.uint64(straight_below[k]) * np.uint64(N_ANGLES) + np.uint64(2)] += 1
            counts[base + np.uint64(left_below[k]) * np.uint64(N_ANGLES) + np.uint64(3)] += 1


@inlined
def level_range(patch, runs, box):
    """Return the lowest and the highest grey level of a cell."""
    corner, stride = origin(box, MARGIN)
    low, high = np.uint8(255), np.uint8(0)
    for run in range(runs.shape[0]):
        start = corner + (runs[run, 0] - box[0]) * stride - box[2]
        line = patch[start + runs[run, 1] : start + runs[run, 2]]
        for k in range(line.size):
            low = min(low, line[k])
            high = max(high, line[k])
    return np.int64(low), np.int64(high)


@kernel
def count_entropy(counts, total, table):
    """Return the entropy in bits of counts with the sum `total`; `table` as for `weighted_log`."""
    weighted = 0.0
    for k in range(counts.size):
        if counts[k] == total:  # also where both are 0
            return 0.0
        weighted += weighted_log(counts[k], table)
    return math.log2(total) - weighted / total


@kernel
def weight_entropy(weights, total):
    """Return the entropy in bits of weights with the sum `total`."""
    entropy = 0.0
    for k in range(weights.size):
        if weights[k] > 0.0:
            p = weights[k] / total
            entropy -= p * math.log2(p)
    return entropy


@kernel
def matrix_statistics(joint, out):
    """Compute the statistics of one symmetric co-occurrence matrix.

    Parameters
    ----------
    joint : (L, L) float64 array
        Symmetric counts or probabilities; only the upper triangle is read. Entry (i, j) belongs to
        the grey levels i + 1 and j + 1, as IBSI numbers levels from 1.
    out : (25,) float64 array
        Filled with the `STATISTICS`; all NaN where the matrix is empty, and a correlation of NaN
        where it holds a single grey level.
    """
    n_levels = joint.shape[0]
    marginal = np.zeros(n_levels, np.float64)
    sums = np.zeros(2 * n_levels - 1, np.float64)
    differences = np.zeros(n_levels, np.float64)
    total = 0.0
    for i in range(n_levels):
        total += joint[i, i]
        for j in range(i + 1, n_levels):
            total += 2.0 * joint[i, j]
    joint_maximum = 0.0
    joint_entropy = 0.0
    squares = 0.0
    for i in range(n_levels):
        for j in range(i, n_levels):
            weight = joint[i, j]
            if weight <= 0.0:
                continue
            joint_maximum = max(joint_maximum, weight)
            marginal[i] += weight
            both = weight
            if j > i:
                marginal[j] += weight
                both = 2.0 * weight
            sums[i + j] += both
            differences[j - i] += both
            joint_entropy -= both / total * math.log2(weight / total)
            squares += both * weight
    marginal_statistics(
        marginal,
        sums,
        differences,
        total,
        np.int64(0),
        n_levels,
        joint_maximum,
        squares,
        joint_entropy,
        weight_entropy(marginal, total),
        weight_entropy(sums, total),
        weight_entropy(differences, total),
        out,
    )


@inlined
def count_statistics(counts, angle, n_levels, low, high, table, out):
    """Compute the statistics of one angle from the counts of `count_pairs`, made symmetric.

    Parameters
    ----------
    counts, n_levels
        Counts of ordered pairs and number of grey levels, as for `count_pairs`.
    angle : int
        Index of the angle, 0 to 3.
    low, high : int
        Lowest and highest level that occur.
    table : (T,) float64 array
        Values of ``n log2 n`` for n below T.
    out : (25,) float64 array
        Filled with the `STATISTICS`, as by `matrix_statistics`.
    """
    n = high - low + 1
    marginal = np.zeros(n, np.int64)
    sums = np.zeros(2 * n - 1, np.int64)
    differences = np.zeros(n, np.int64)
    # Of NumPy's type, as each literal passed as an argument would be compiled separately.
    largest = squares = total = np.int64(0)
    logs = 0.0
    n_bins = n_levels + 1
    for i in range(n):
        across = ((low + i) * n_bins + low) * N_ANGLES + angle
        down = (low * n_bins + low + i) * N_ANGLES + angle
        both = 2 * np.int64(counts[across + i * N_ANGLES])
        largest = max(largest, both)
        squares += both * both
        logs += weighted_log(both, table)
        marginal[i] += both
        sums[2 * i] += both
        differences[0] += both
        for j in range(i + 1, n):
            both = np.int64(counts[across + j * N_ANGLES]) + np.int64(
                counts[down + j * n_bins * N_ANGLES]
            )
            if both > 0:
                largest = max(largest, both)
                squares += 2 * both * both
                logs += 2.0 * weighted_log(both, table)
                marginal[i] += both
                marginal[j] += both
                sums[i + j] += 2 * both
                differences[j - i] += 2 * both
    for i in range(n):
        total += marginal[i]
    marginal_statistics(
        marginal,
        sums,
        differences,
        total,
        low,
        n_levels,
        largest,
        squares,
        0.0 if largest == total else math.log2(total) - logs / total,
        count_entropy(marginal, total, table),
        count_entropy(sums, total, table),
        count_entropy(differences, total, table),
        out,
    )


@kernel
def marginal_statistics(
    marginal,
    sums,
    differences,
    total,
    low,
    n_levels,
    joint_maximum,
    squares,
    joint_entropy,
    marginal_entropy,
    sum_entropy,
    difference_entropy,
    out,
):
    """Compute the statistics from three marginal distributions and the entropies.

    Parameters
    ----------
    marginal, differences : (n,) array
        Weights of the levels low, low + 1, ... and of the absolute differences 0, 1, ...
    sums : (2 n - 1,) array
        Weights of the sums 2 low, 2 low + 1, ...
    total : number
        Sum of each of the three; the statistics are NaN where it is 0.
    low, n_levels : int
        Level (from 0) of the first entry; number of grey levels.
    joint_maximum, squares : number
        Largest weight and sum of squared weights of the matrix.
    joint_entropy, marginal_entropy, sum_entropy, difference_entropy : float
        Entropies in bits.
    out : (25,) float64 array
        Filled with the `STATISTICS`.
    """
    if total <= 0:
        for k in range(N_STATISTICS):
            out[k] = np.nan
        return
    n = marginal.size
    joint_average = 0.0
    for i in range(n):
        joint_average += (low + i + 1.0) * marginal[i]
    joint_average /= total
    joint_variance = 0.0
    for i in range(n):
        joint_variance += (low + i + 1.0 - joint_average) ** 2 * marginal[i]
    joint_variance /= total

    sum_average = 0.0
    sum_variance = 0.0
    cluster_shade = 0.0
    cluster_prominence = 0.0
    for k in range(sums.size):
        level = 2 * low + k + 2.0
        deviation = level - 2.0 * joint_average
        p = sums[k] / total
        square = deviation * deviation * p
        sum_average += level * p
        sum_variance += square
        cluster_shade += square * deviation
        cluster_prominence += square * deviation * deviation

    difference_average = 0.0
    contrast = 0.0
    inverse_difference = 0.0
    normalised_inverse_difference = 0.0
    inverse_difference_moment = 0.0
    normalised_inverse_difference_moment = 0.0
    inverse_variance = 0.0
    for k in range(n):
        p = differences[k] / total
        if p > 0.0:
            difference_average += k * p
            contrast += k * k * p
            inverse_difference += p / (1.0 + k)
            normalised_inverse_difference += p / (1.0 + k / n_levels)
            inverse_difference_moment += p / (1.0 + k * k)
            normalised_inverse_difference_moment += p / (1.0 + (k / n_levels) ** 2)
            if k > 0:
                inverse_variance += p / (k * k)
    difference_variance = 0.0
    for k in range(n):
        difference_variance += (k - difference_average) ** 2 * differences[k]
    difference_variance /= total

    # x and y have the same distribution, so E(x y) = mean^2 + covariance and
    # 4 covariance = var(x + y) - E(x - y)^2.
    autocorrelation = joint_average * joint_average + (sum_variance - contrast) / 4.0

    # In a symmetric matrix var(x + y) = 2 var + 2 cov and E(x - y)^2 = 2 var - 2 cov, which avoids
    # the difference of large numbers; and both cross entropies of the information measures are
    # twice the entropy of the marginal.
    correlation = np.nan
    information_correlation_1 = np.nan
    if sum_variance + contrast > 1e-12:
        correlation = (sum_variance - contrast) / (sum_variance + contrast)
        information_correlation_1 = (joint_entropy - 2.0 * marginal_entropy) / marginal_entropy
    mutual_information = max(2.0 * marginal_entropy - joint_entropy, 0.0)

    out[AT.joint_maximum] = joint_maximum / total
    out[AT.joint_average] = joint_average
    out[AT.joint_variance] = joint_variance
    out[AT.joint_entropy] = joint_entropy
    out[AT.difference_average] = difference_average
    out[AT.difference_variance] = difference_variance
    out[AT.difference_entropy] = difference_entropy
    out[AT.sum_average] = sum_average
    out[AT.sum_variance] = sum_variance
    out[AT.sum_entropy] = sum_entropy
    out[AT.angular_second_moment] = squares / (float(total) * total)
    out[AT.contrast] = contrast
    out[AT.dissimilarity] = difference_average
    out[AT.inverse_difference] = inverse_difference
    out[AT.normalised_inverse_difference] = normalised_inverse_difference
    out[AT.inverse_difference_moment] = inverse_difference_moment
    out[AT.normalised_inverse_difference_moment] = normalised_inverse_difference_moment
    out[AT.inverse_variance] = inverse_variance
    out[AT.correlation] = correlation
    out[AT.autocorrelation] = autocorrelation
    out[AT.cluster_tendency] = sum_variance
    out[AT.cluster_shade] = cluster_shade
    out[AT.cluster_prominence] = cluster_prominence
    out[AT.information_correlation_1] = information_correlation_1
    out[AT.information_correlation_2] = math.sqrt(1.0 - math.exp(-2.0 * mutual_information))
    for k in range(N_STATISTICS):
        # Adding zero turns the -0.0 of an empty entropy sum into 0.0.
        out[k] += 0.0


@inlined
def summarise_angles(values, ranged, out):
    """Compute the mean over the angles of all statistics and the range of some of them.

    Parameters
    ----------
    values : (4, 25) float64 array
        Statistics at 0, 45, 90 and 135 degrees. NaN is left out; where all are NaN, so is the
        result.
    ranged : (M,) int64 array
        Indices of the statistics to give a range for.
    out : (25 + M,) float64 array
        Filled with the means, then the ranges (largest minus smallest).
    """
    valid = np.empty(N_ANGLES, np.float64)
    for k in range(N_STATISTICS):
        count = 0
        for angle in range(N_ANGLES):
            value = values[angle, k]
            valid[angle] = 0.0 if np.isnan(value) else value
            count += 0 if np.isnan(value) else 1
        out[k] = np.nan
        if count > 0:
            # Rotating by 90 degrees swaps 0 with 90 degrees and 45 with 135: added in this order,
            # the sum is the same to the last bit.
            out[k] = ((valid[0] + valid[2]) + (valid[1] + valid[3])) / count
    for index in range(ranged.size):
        low, high = np.inf, -np.inf
        for angle in range(N_ANGLES):
            value = values[angle, ranged[index]]
            if not np.isnan(value):
                low = min(low, value)
                high = max(high, value)
        out[N_STATISTICS + index] = high - low if high >= low else np.nan


@kernel
def symmetric_matrices(patches, run_starts, runs, boxes, n_levels, distance, margin):
    """Return the symmetric counts of every cell: (n_cells, 4, n_levels, n_levels) float64.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels, margin
        Patches of the cells and the arguments of ``patches.patches`` they were cut with.
    distance : int
        Chebyshev distance in pixels, at most the margin.
    """
    n_cells = boxes.shape[0]
    n_bins = n_levels + 1
    out = np.zeros((n_cells, N_ANGLES, n_levels, n_levels), np.float64)
    counts = np.empty(n_bins * n_bins * N_ANGLES, np.int32)
    offset = 0
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            continue
        count_pairs(patches[offset:], cell_runs, boxes[cell], n_levels, distance, margin, counts)
        offset += patch_size(boxes[cell], margin)
        ordered = counts.reshape(n_bins, n_bins, N_ANGLES)
        for i in range(n_levels):
            for j in range(n_levels):
                for angle in range(N_ANGLES):
                    out[cell, angle, i, j] = ordered[i, j, angle] + ordered[j, i, angle]
    return out


@kernel
def measure(patches, run_starts, runs, boxes, n_levels, distances, ranged, table):
    """Compute the statistics of every cell and distance, summarised over the angles.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        Patches of the cells and the arguments of ``patches.patches`` they were cut with.
    distances : (D,) int64 array
        Chebyshev distances in pixels.
    ranged
        Indices of the statistics to give a range for, as for `summarise_angles`.
    table
        Values of ``n log2 n``, as for `count_statistics`.

    Returns
    -------
    (n_cells, D, 25 + M) float64 array
        Means and ranges over the angles; NaN where there is no pair.
    """
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, distances.size, N_STATISTICS + ranged.size), np.float64)
    values = np.empty((N_ANGLES, N_STATISTICS), np.float64)
    counts = np.empty((n_levels + 1) * (n_levels + 1) * N_ANGLES, np.int32)
    offset = 0
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            for index in range(distances.size):
                for k in range(out.shape[2]):
                    out[cell, index, k] = np.nan
            continue
        patch, box = patches[offset:], boxes[cell]
        offset += patch_size(box, MARGIN)
        low, high = level_range(patch, cell_runs, box)
        for index in range(distances.size):
            count_pairs(patch, cell_runs, box, n_levels, distances[index], MARGIN, counts)
            for angle in range(N_ANGLES):
                count_statistics(counts, angle, n_levels, low, high, table, values[angle])
            summarise_angles(values, ranged, out[cell, index])
    return out
