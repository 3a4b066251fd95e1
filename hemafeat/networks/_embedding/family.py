"""An embedding as a family: `extract.table` puts its columns beside those of morphology."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.extract import Column, family, prepare
from hemafeat.networks._embedding.embedding import Embedding
from hemafeat.networks._embedding.rows import Flow


@public
class EmbeddingFamily:
    """A family that shows each cell to a network; made by `embedding_family`.

    Parameters
    ----------
    step : Embedding
        What computes it, fitted.

    Attributes
    ----------
    facts : Facts
        Its columns, with the weights they come from.
    """

    def __init__(self, step: Embedding) -> None:
        self.step = step
        self.__name__ = step.family_
        self.__doc__ = f"{step.backbone} as a family of columns, {step.weights_}."
        how = (
            f"{step.backbone}, {step.layer or 'mean of the last maps'}, {step.weights_}, pictures "
            f"of {step.side_} px, centre {step.centre} px, margin {step.margin}"
        )
        columns = {
            name: Column(
                "1", f"number {name[:4]} of the vector of {how}", f"weights {step.digest_}"
            )
            for name in step.feature_names()
        }
        declare = family(
            columns,
            masks=("cell",),
            per_mask=False,
            prepared=True,
            white="od"
            in " ".join([step.streams] if isinstance(step.streams, str) else step.streams),
            default=False,
            reference="keras.applications",
        )
        declare(self)

    def __call__(self, image: Any, labels: Any, n_cells: int | None = None) -> np.ndarray:
        """(n_cells, width) float64 of the cells of `labels`, a `Masks`.

        Parameters
        ----------
        image : Prepared or (H, W, 3) ndarray of uint8
            The image.
        labels : Masks
            Its cells.
        n_cells : int, optional
            How many.
        """
        prepared, n = prepare(image), labels.n_cells if n_cells is None else n_cells
        # Threads run over images, so that the network itself has one.
        net = self.step.ready(1)
        self.step.same_weights(net)
        flow = Flow(net, self.step.store(net), self.step.batch_size)
        shown = self.step.shown(net)
        out = np.full((n, self.step.n_features_out_), np.nan, np.float32)
        area = prepared.regions(labels.cell, n).area
        for row in range(n):
            if not area[row]:
                continue
            for number, picture in enumerate(shown.pictures(prepared, labels, row)):
                flow.add(picture, [out[row, number * net.width : (number + 1) * net.width]])
        flow.flush()
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
    """A family of features that are the embedding of each cell.

    Parameters
    ----------
    backbone : str
        As in `Embedding`.
    weights : str, path or None
        As in `Embedding`.
    layer : str, optional
        As in `Embedding`.
    streams : str or list of str
        As in `Embedding`; by default the square round the cell, so that each cell of an image has
        an embedding of its own.
    size : int, optional
        As in `Embedding`.
    random_state : int
        As in `Embedding`.
    **settings
        Further parameters of `Embedding`: ``margin``, ``centre``, ``runtime``, ``cache``.

    Returns
    -------
    EmbeddingFamily
        For ``extract.table(..., families=["default", family])``. It is called after network and
        weights: ``embedding_inceptionv3_imagenet``.

    Raises
    ------
    ImportError, ValueError, WeightsError
        As `Embedding.fit`: before a single image is measured.
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
        # The name of every column says so.
        warnings.filterwarnings("ignore", message=".*not pretrained", category=UserWarning)
        step.fit()
    return EmbeddingFamily(step)
