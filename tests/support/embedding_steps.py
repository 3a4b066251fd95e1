"""Helpers for tests of embeddings: small, with random weights, without a connection."""

from __future__ import annotations

import socket
import warnings

import numpy as np
import pytest

from hemafeat import datasets, networks

SIDE = 32
QUICK = {"size": SIDE, "cache": False, "n_jobs": 1, "progress": False}

# Stated in the documentation; measured on eight backbones: below 3e-6.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    return datasets.drawn(
        folder, 12, kinds=["lymphocyte", "neutrophil"], n_patients=6, size=96, random_state=0
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Block downloads and keep away from the folders of the user."""

    def refused(*_):
        raise OSError("the network is blocked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HEMAFEAT_CACHE", str(tmp_path / "cache"))


def embedding(backbone="MobileNet", weights=None, **given):
    step = networks.Embedding(backbone, weights, **{**QUICK, **given})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not pretrained")
        return step.fit()


def close(found, expected):
    """Check that vectors agree within the tolerance, relative to the largest number."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
