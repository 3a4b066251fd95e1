"""Oracle: matrices counted by definition, and images with known matrices."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat import extract
from reference import naive_matrices

NAN = np.nan


def smooth(seed: int, shape: tuple[int, int] = (38, 45)) -> tuple[np.ndarray, np.ndarray]:
    """Draw levels with long runs and winding zones, and two cells that touch."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), 1.6)
    levels = np.digitize(field, [-0.25, -0.08, 0.08, 0.25])
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = (np.hypot(rows - 17, columns - 15) < 15).astype(np.int32)
    labels[(np.hypot(rows - 22, columns - 30) < 14) & (labels == 0)] = 2
    labels[20, 31] = labels[5, 15] = 0  # holes, of one pixel
    return levels, labels


def dense_matrix(counter, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, int)
    for (level, extent), n in counter.items():
        out[level - 1, extent - 1] = n
    return out


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_matrices_are_equal(seed: int) -> None:
    levels, labels = smooth(seed)
    runs = extract.glrlm_matrix(levels, labels, n_levels=5)
    zones, sizes = extract.glszm_matrix(levels, labels, n_levels=5)
    dependences = extract.gldm_matrix(levels, labels, n_levels=5)
    differences = extract.ngtdm_matrix(levels, labels, n_levels=5)
    assert sizes.max() > 100
    for cell in (0, 1):
        inside = labels == cell + 1
        shape = runs.shape[2:]
        for angle, step in enumerate(naive_matrices.STEPS):
            expected = dense_matrix(naive_matrices.runs(levels + 1, inside, step), shape)
            assert np.array_equal(runs[cell, angle], expected)
        dense = dense_matrix(naive_matrices.zones(levels + 1, inside), (5, sizes.max()))
        assert np.array_equal(zones[cell], dense[:, sizes - 1])
        assert zones[cell].sum() == dense.sum()
        expected = dense_matrix(naive_matrices.dependences(levels + 1, inside), (5, 9))
        assert np.array_equal(dependences[cell], expected)
        tones = naive_matrices.differences(levels + 1, inside)
        for level in range(5):
            values = tones.get(level + 1, [])
            assert differences[cell, level, 0] == len(values)
            # A sum of a few hundred quotients, each rounded once.
            assert differences[cell, level, 1] == pytest.approx(sum(values), rel=1e-12)


def test_zones_of_a_spiral_and_a_comb() -> None:
    """A comb and a spiral are one zone each, although their arms begin with separate labels."""
    comb = np.zeros((9, 21), int)
    comb[:, ::2] = 1
    comb[-1] = 1
    matrix, sizes = extract.glszm_matrix(comb, n_levels=2)
    assert sizes.tolist() == [8, 9 * 11 + 10]
    assert matrix[0].tolist() == [[10, 0], [0, 1]]
    spiral = np.zeros((15, 15), int)
    row = column = 0
    turn, length = (0, 1), 15
    spiral[0, 0] = 1
    for arm in range(12):
        for _ in range(length - 1 if arm == 0 else length):
            row, column = row + turn[0], column + turn[1]
            spiral[row, column] = 1
        turn = turn[1], -turn[0]
        length -= 1 if arm == 0 else 2 * (arm % 2 == 0)
        if length < 1:
            break
    for image in (spiral, spiral.T, spiral[::-1], spiral[:, ::-1]):
        matrix, sizes = extract.glszm_matrix(image, n_levels=2)
        assert matrix[0, 1].sum() == 1
        assert sizes[matrix[0, 1] > 0] == spiral.sum()


def test_chequerboard() -> None:
    """A chequerboard has straight runs of 1, long diagonals, and one zone of each level."""
    board = np.indices((8, 8)).sum(axis=0) % 2
    runs = extract.glrlm_matrix(board, n_levels=2)[0]
    assert runs[[0, 2]].sum() == runs[[0, 2], :, 0].sum() == 128
    assert runs[1].sum() == runs[3].sum() == 15
    assert np.array_equal(runs[1].sum(axis=0), [2] * 7 + [1])
    matrix, sizes = extract.glszm_matrix(board, n_levels=2)
    assert sizes.tolist() == [32]
    assert matrix[0].tolist() == [[1], [1]]
    # Corners have 1 diagonal neighbour, borders 2, the rest 4.
    assert extract.gldm_matrix(board, n_levels=2)[0].sum(axis=0).tolist() == [
        *(0, 4, 24, 0, 36),
        *(0, 0, 0, 0),
    ]
    tones = extract.ngtdm_matrix(board, n_levels=2)[0]
    # Of 3, 5 and 8 neighbours, 2, 3 and 4 have the other level.
    expected = 4 * 2 / 3 + 24 * 3 / 5 + 36 / 2
    assert tones[:, 0].tolist() == [32, 32]
    assert tones[:, 1].sum() == pytest.approx(expected, rel=1e-14)
    statistics = {name: float(v) for name, v in extract.ngtdm_statistics(tones).items()}
    mean = expected / 64
    expected_statistics = {
        "coarseness": 2 / expected,
        "contrast": 0.25 * mean,
        "busyness": expected / 2 / (2 * 0.5),
        "complexity": 2 * expected / 2 / 64,
        "strength": 2 / expected,
    }
    assert statistics == pytest.approx(expected_statistics, rel=1e-14)


def test_one_level() -> None:
    flat = np.full((6, 9), 2)
    runs = extract.glrlm_statistics(extract.glrlm_matrix(flat, n_levels=4)[0])
    assert runs["run_percentage"][[0, 2]].tolist() == [1 / 9, 1 / 6]
    assert runs["run_entropy"][[0, 2]].tolist() == [0, 0]
    assert runs["grey_level_variance"].tolist() == [0] * 4
    zones = extract.glszm_statistics(*extract.glszm_matrix(flat, n_levels=4))
    assert zones["large_zone_emphasis"] == 54**2
    assert zones["zone_size_entropy"] == zones["zone_size_variance"] == 0
    dependences = extract.gldm_statistics(extract.gldm_matrix(flat, n_levels=4))
    assert dependences["high_dependence_emphasis"] == (28 * 81 + 22 * 36 + 4 * 16) / 54
    tones = extract.ngtdm_statistics(extract.ngtdm_matrix(flat, n_levels=4))
    expected = {"coarseness": NAN, "contrast": NAN, "busyness": NAN, "complexity": 0}
    for name, value in expected.items():
        np.testing.assert_equal(float(tones[name][0]), value)


def test_counts_beyond_the_table_of_logarithms() -> None:
    counts = np.array([[100_000, 3], [5, 70_000]])
    p = counts / counts.sum()
    statistics = extract.glrlm_statistics(counts)
    assert statistics["run_entropy"] == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-12)


def test_empty_and_missing() -> None:
    labels = np.zeros((4, 4), int)
    levels = np.ones((4, 4), int)
    all_statistics = [
        extract.glrlm_statistics(extract.glrlm_matrix(levels, labels, n_levels=2, n_cells=1)),
        extract.glszm_statistics(*extract.glszm_matrix(levels, labels, n_levels=2, n_cells=1)),
        extract.gldm_statistics(extract.gldm_matrix(levels, labels, n_levels=2, n_cells=1)),
        extract.ngtdm_statistics(extract.ngtdm_matrix(levels, labels, n_levels=2, n_cells=1)),
    ]
    assert all(
        np.isnan(values).all() for statistics in all_statistics for values in statistics.values()
    )
    labels[1, 2] = 1
    isolated = extract.ngtdm_statistics(extract.ngtdm_matrix(levels, labels, n_levels=2))
    assert all(np.isnan(values).all() for values in isolated.values())


@pytest.mark.parametrize(
    "function",
    [extract.glrlm_matrix, extract.glszm_matrix, extract.gldm_matrix, extract.ngtdm_matrix],
)
def test_bad_levels_are_named(function) -> None:
    with pytest.raises(ValueError, match=r"0\.\.3"):
        function(np.array([[0, 4]]), n_levels=4)
    with pytest.raises(ValueError, match="the mask is"):
        function(np.array([[0, 3]]), np.ones((2, 2), int), n_levels=4)
    with pytest.raises(ValueError, match="1 to 255"):
        function(np.array([[0, 3]]), n_levels=256)


def test_bad_matrices_are_named() -> None:
    for function in (extract.glrlm_statistics, extract.glszm_statistics, extract.gldm_statistics):
        with pytest.raises(ValueError, match="expected"):
            function([1, 2])
        with pytest.raises(ValueError, match="counts"):
            function([[0.5, 1], [2, 1]])
        with pytest.raises(ValueError, match="counts"):
            function([[-1, 1], [2, 1]])
    with pytest.raises(ValueError, match="ascend"):
        extract.glszm_statistics([[1, 2]], [3, 3])
    with pytest.raises(ValueError, match="expected"):
        extract.glszm_statistics([[1, 2]], [3])
    with pytest.raises(ValueError, match="expected"):
        extract.ngtdm_statistics([[1, 2, 3]])
    with pytest.raises(ValueError, match="negative"):
        extract.ngtdm_statistics([[1, -2]])
