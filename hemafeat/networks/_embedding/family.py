"""Embeddings as a family of features for `extract.table`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.extract import Column, family, prepare
from hemafeat.networks._embedding.embedding import Embedding
from hemafeat.networks._embedding.rows import VectorFiller
from hemafeat.networks._embedding.streams import parse_streams


@public
class EmbeddingFamily:
    """A family of features computed by a network from each cell; see `embedding_family`.

    Parameters
    ----------
    step : Embedding
        Fitted transformer that computes the features.

    Attributes
    ----------
    facts : Facts
        Description of the columns, including the weights.
    """

    def __init__(self, step: Embedding) -> None:
        self.step = step
        self.__name__ = step.family_
        self.__doc__ = f"{step.backbone} as a family of columns, {step.weights_}."
        network = (
            f"{step.backbone}, {step.layer or 'mean of the last maps'}, {step.weights_}, pictures "
            f"of {step.side_} px, centre {step.centre} px, margin {step.margin}"
        )
        columns = {
            name: Column(
                "1", f"number {name[:4]} of the vector of {network}", f"weights {step.digest_}"
            )
            for name in step.feature_names()
        }
        declare = family(
            columns,
            masks=("cell",),
            per_mask=False,
            prepared=True,
            white=any(stream.colour == "od" for stream in parse_streams(step.streams)),
            default=False,
            reference=f"{step.backbone}, see hemafeat.networks.backbone",
        )
        declare(self)

    def __call__(self, image: Any, labels: Any, n_cells: int | None = None) -> np.ndarray:
        """Compute the features of the cells of an image.

        Parameters
        ----------
        image : Prepared or (H, W, 3) ndarray of uint8
            Image.
        labels : Masks
            Masks of the cells.
        n_cells : int, optional
            Number of cells. By default that of `labels`.

        Returns
        -------
        (n_cells, n_features) ndarray of float64
            Vectors, NaN for a cell without pixels.
        """
        prepared, n = prepare(image), labels.n_cells if n_cells is None else n_cells
        # Images are processed in parallel, so the network itself has one thread.
        runner = self.step.ready(1)
        self.step.same_weights(runner)
        filler = VectorFiller(runner, self.step.store(runner), self.step.batch_size)
        maker, width = self.step.shown(runner), runner.width
        out = np.full((n, self.step.n_features_out_), np.nan, np.float32)
        area = prepared.regions(labels.cell, n).area
        for row in range(n):
            if not area[row]:
                continue
            for i, picture in enumerate(maker.make(prepared, labels, row)):
                filler.add(picture, [out[row, i * width : (i + 1) * width]])
        filler.flush()
        return out.astype(np.float64)


def embedding_family(
    backbone: str = "InceptionV3",
    weights: str | os.PathLike[str] | None = "imagenet",
    *,
    layer: str | None = None,
    streams: str | Iterable[str] = "rgb_cell",
    size: int | None = None,
    random_state: int = 0,
    **settings: Any,
) -> EmbeddingFamily:
    """Make a family of features that are the embedding of each cell.

    Parameters
    ----------
    backbone : str
        Name of the network, as in `Embedding`.
    weights : str, path or None
        Weights of the network, as in `Embedding`.
    layer : str, optional
        Name of the layer, as in `Embedding`.
    streams : str or list of str
        Pictures that the network sees, as in `Embedding`. By default it is the square round the
        cell, so that each cell of an image has its own embedding.
    size : int, optional
        Side to which pictures are resized, as in `Embedding`.
    random_state : int
        Seed of random weights.
    **settings
        Further parameters of `Embedding`: ``margin``, ``centre``, ``runtime``, ``cache``.

    Returns
    -------
    EmbeddingFamily
        Family for ``extract.table(..., families=["default", family])``. Its name consists of
        network and weights: ``embedding_inceptionv3_imagenet``.

    Raises
    ------
    ImportError, ValueError, WeightsError
        As in `Embedding.fit`, before an image is measured.

    Examples
    --------
    >>> from hemafeat import extract, networks
    >>> family = networks.embedding_family("MobileNet", weights=None, size=32, cache=False)
    >>> family.__name__, len(extract.columns([family]))
    ('embedding_mobilenet_random0_32px', 1024)
    """
    step = Embedding(
        backbone,
        weights,
        layer=layer,
        streams=streams,
        size=size,
        random_state=random_state,
        **settings,
    )
    with warnings.catch_warnings():
        # The names of the columns say that weights are random.
        warnings.filterwarnings("ignore", message=".*not pretrained", category=UserWarning)
        step.fit()
    return EmbeddingFamily(step)
