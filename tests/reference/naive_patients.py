"""Plain twins of what is computed per patient. Imports nothing of the package under test."""

from __future__ import annotations

import math

import numpy as np


def fisher_vector(cells, weights, means, variances):
    """Sanchez et al. (2013), equations 16 to 18, cell by cell: weights, means, deviations."""
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
    """Mean over the classes of the share of their rows that was found."""
    recalls = []
    for name in sorted(set(truth)):
        rows = [p for t, p in zip(truth, predicted, strict=True) if t == name]
        recalls.append(sum(p == name for p in rows) / len(rows))
    return sum(recalls) / len(recalls)


def attention(bag, V, v, w, U=None, u=None):
    """Ilse et al. (2018), equations 8 and 9: weight of each cell of one bag."""
    scores = []
    for h in bag:
        hidden = [math.tanh(float(np.dot(h, V[:, j]) + v[j])) for j in range(V.shape[1])]
        if U is not None:
            gate = [1 / (1 + math.exp(-float(np.dot(h, U[:, j]) + u[j]))) for j in range(len(u))]
            hidden = [a * b for a, b in zip(hidden, gate, strict=True)]
        scores.append(sum(a * float(b) for a, b in zip(hidden, w.ravel(), strict=True)))
    top = max(scores)
    raised = [math.exp(s - top) for s in scores]
    return np.array([r / sum(raised) for r in raised])
