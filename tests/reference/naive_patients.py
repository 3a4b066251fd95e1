"""Plain reference implementations for patients, which import nothing of the package."""

from __future__ import annotations

import math

import numpy as np


def fisher_vector(cells, weights, means, variances):
    """Compute equations 16 to 18 of Sanchez et al. (2013): weights, means, deviations."""
    n, (n_words, n_axes) = len(cells), means.shape
    g_w, g_m, g_s = np.zeros(n_words), np.zeros((n_words, n_axes)), np.zeros((n_words, n_axes))
    for x in cells:
        density = []
        for k in range(n_words):
            value = weights[k]
            for j in range(n_axes):
                away = (x[j] - means[k, j]) ** 2 / (2 * variances[k, j])
                value *= math.exp(-away) / math.sqrt(2 * math.pi * variances[k, j])
            density.append(value)
        for k in range(n_words):
            share = density[k] / sum(density)
            g_w[k] += (share - weights[k]) / math.sqrt(weights[k]) / n
            for j in range(n_axes):
                z = (x[j] - means[k, j]) / math.sqrt(variances[k, j])
                g_m[k, j] += share * z / math.sqrt(weights[k]) / n
                g_s[k, j] += share * (z * z - 1) / math.sqrt(2 * weights[k]) / n
    return np.concatenate([g_w, g_m.ravel(), g_s.ravel()])


def balanced_accuracy(truth, predicted):
    """Compute the mean of the recalls of the classes."""
    recalls = []
    for name in sorted(set(truth)):
        rows = [p for t, p in zip(truth, predicted, strict=True) if t == name]
        recalls.append(sum(p == name for p in rows) / len(rows))
    return sum(recalls) / len(recalls)


def attention(bag, V, v, w, U=None, u=None):
    """Compute the weights of the cells of a bag by equations 8 and 9 of Ilse et al. (2018)."""
    scores = []
    for h in bag:
        hidden = [math.tanh(float(np.dot(h, V[:, j]) + v[j])) for j in range(V.shape[1])]
        if U is not None:
            gate = [1 / (1 + math.exp(-float(np.dot(h, U[:, j]) + u[j]))) for j in range(len(u))]
            hidden = [a * b for a, b in zip(hidden, gate, strict=True)]
        scores.append(sum(a * float(b) for a, b in zip(hidden, w.ravel(), strict=True)))
    largest = max(scores)
    exponentials = [math.exp(score - largest) for score in scores]
    return np.array([value / sum(exponentials) for value in exponentials])


def self_attention(bag, Q, q, K, k, V, v, P, p):
    """Sum over a bag what self-attention makes of its vectors, equation 1 of Vaswani et al. (2017).

    Kernels are (n, n_heads, n / n_heads), that of the output, P, (n_heads, n / n_heads, n).
    """
    total = np.zeros(P.shape[-1])
    for head in range(Q.shape[1]):
        query, key, value = (
            [np.dot(x, W[:, head]) + w[head] for x in bag] for W, w in ((Q, q), (K, k), (V, v))
        )
        for one in query:
            scores = [float(np.dot(one, other)) / math.sqrt(len(one)) for other in key]
            largest = max(scores)
            weights = [math.exp(score - largest) for score in scores]
            mixed = sum(w / sum(weights) * x for w, x in zip(weights, value, strict=True))
            total += np.dot(mixed, P[head])
    return total + len(bag) * p
