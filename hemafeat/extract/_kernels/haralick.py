"""The statistics of a co-occurrence matrix, as IBSI defines them."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_STATISTICS = 25


@kernel
def entropy(weights, total):
    """Entropy in bits of weights with the sum `total`."""
    found = 0.0
    for k in range(weights.size):
        if weights[k] > 0.0:
            p = weights[k] / total
            found -= p * math.log2(p)
    return found


@kernel
def statistics(joint, out):
    """The 25 IBSI statistics of one symmetric co-occurrence matrix.

    Parameters
    ----------
    joint : (L, L) float64 array
        Symmetric counts or probabilities; only the upper triangle is read. Entry (i, j) belongs to
        the grey levels i + 1 and j + 1: IBSI numbers levels from 1.
    out : (25,) float64 array
        In the order of ``hemafeat.extract._families.glcm.STATISTICS``; all NaN where there is no
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
    finish(
        marginal,
        sums,
        differences,
        total,
        0,
        n_levels,
        joint_maximum,
        squares,
        joint_entropy,
        entropy(marginal, total),
        entropy(sums, total),
        entropy(differences, total),
        out,
    )


@kernel
def finish(
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
    """The statistics that follow from three marginals and the entropies.

    Parameters
    ----------
    marginal, differences : (n,) array
        Weights of the levels low, low + 1, ... and of the absolute differences 0, 1, ...
    sums : (2 n - 1,) array
        Weights of the sums 2 low, 2 low + 1, ...
    total : number
        Sum of each of the three; where it is 0 the statistics are NaN.
    low, n_levels : int
        Level, from 0, of the first entry; number of levels there are.
    joint_maximum, squares : number
        Of the matrix itself: largest weight, sum of squares.
    joint_entropy, marginal_entropy, sum_entropy, difference_entropy : float
        In bits.
    out : (25,) float64 array
        Filled.
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
        away = level - 2.0 * joint_average
        p = sums[k] / total
        square = away * away * p
        sum_average += level * p
        sum_variance += square
        cluster_shade += square * away
        cluster_prominence += square * away * away

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

    # x y = mean^2 + covariance, with 4 covariance = var(x + y) - E(x - y)^2 as x and y are alike.
    autocorrelation = joint_average * joint_average + (sum_variance - contrast) / 4.0

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
        joint_maximum / total,
        joint_average,
        joint_variance,
        joint_entropy,
        difference_average,
        difference_variance,
        difference_entropy,
        sum_average,
        sum_variance,
        sum_entropy,
        squares / (float(total) * total),
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
