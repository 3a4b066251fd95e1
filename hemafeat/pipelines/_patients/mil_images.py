"""Multiple-instance learning on bags of images, as a classifier of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._public import public
from hemafeat.pipelines._patients.bags import CELLS, Bag, as_bags, sources_of
from hemafeat.pipelines._patients.mil import BagClassifier


@public
class MILImageClassifier(BagClassifier):
    """Multiple-instance learning on bags of images, end to end. Needs Keras (extra ``deep``).

    All images of a patient go through one encoder, and a pooling combines them into one prediction.
    Encoder and pooling are trained together, with patients as samples.

    Parameters
    ----------
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        Pooling of the cells of a patient, see `hemafeat.networks.pool`.
    encoder : str
        Network that encodes each image: ``"small"``, or a name of
        `hemafeat.networks.architectures`, see `hemafeat.networks.mil_image_model`.
    weights : str, optional
        Initial weights of such a network, see `hemafeat.networks.build`. Random by default.
    crop : int, optional
        Side of the square that is cut from the centre of each image, in px. By default the largest
        possible.
    size : int
        Side to which the square is resized, in px.
    turned : bool
        Whether training images are rotated by multiples of 90 degrees and mirrored at random.
    n_hidden : int
        Size of the layer after the encoder.
    n_attention : int
        Size of the attention layer.
    dropout : float
        Share of the layer after the encoder that is dropped in training.
    class_weight : {"balanced"} or None
        Whether the classes have the same weight in the loss.
    validation : float
        Share of the training patients that are held back in order to stop. With 0 the training runs
        for all `epochs`.
    epochs : int
        Largest number of epochs, see `hemafeat.networks.fit_bags`.
    patience : int
        Number of epochs without improvement after which training stops.
    batch_size : int
        Number of patients per step.
    max_cells : int
        Largest number of images of a patient in a step, drawn anew for each step. Its product with
        `batch_size` is the number of images that go through the encoder at once. Predictions always
        use all images.
    learning_rate : float
        Learning rate of the optimiser.
    weight_decay : float
        Weight decay of the optimiser.
    in_memory : float
        Largest size of the training images in GiB up to which they are kept in memory. Larger sets
        are read again in every step.
    positive : str, optional
        Of two classes, the one that positive logits stand for, see `MILClassifier`.
    groups : str
        Column that names the patient of each cell, if a table of cells is given.
    random_state : int
        Seed of the weights, the draws of images, their rotation and the patients held back.

    Attributes
    ----------
    network_ : hemafeat.networks.ImageBagNetwork
        The trained network with the loss of every epoch.
    classes_ : ndarray
        The labels, sorted.

    Notes
    -----
    The network sees the centre of the whole image, so that every image must show one cell. It sees
    background and scale as well as the cell: if the smears of ill patients were stained separately,
    it learns that, and the baseline `stain_only` measures how much it could learn. The same seed
    gives the same network on one machine and backend; other processors round differently.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.MILImageClassifier("gated", size=48)
    >>> sorted(pipelines.looks_at(model))
    ['images']
    """

    looks_at = frozenset({"images"})

    def __init__(
        self,
        pooling: str = "attention",
        *,
        encoder: str = "small",
        weights: str | None = None,
        crop: int | None = None,
        size: int = 64,
        turned: bool = True,
        n_hidden: int = 32,
        n_attention: int = 16,
        dropout: float = 0.2,
        class_weight: str | None = "balanced",
        validation: float = 0.2,
        epochs: int = 60,
        patience: int = 12,
        batch_size: int = 8,
        max_cells: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-3,
        in_memory: float = 1.0,
        positive: Any = None,
        groups: str = "patient",
        random_state: int = 0,
    ) -> None:
        self.pooling = pooling
        self.encoder = encoder
        self.weights = weights
        self.crop = crop
        self.size = size
        self.turned = turned
        self.n_hidden = n_hidden
        self.n_attention = n_attention
        self.dropout = dropout
        self.class_weight = class_weight
        self.validation = validation
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.max_cells = max_cells
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.in_memory = in_memory
        self.positive = positive
        self.groups = groups
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients: rows of `bags` of a table with a column ``image``; such a table; or for each
            patient an (n_cells, H, W, 3) array or a list of files.
        y : (n_patients,) array
            Labels.

        Returns
        -------
        MILImageClassifier
            The same object.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If there are no images, several cells in one image, or one class only.
        hemafeat.images.ImageError
            If an image cannot be read.
        """
        sources = _sources(X, self.groups)
        codes = self._class_codes(y, len(sources))
        n_bytes = sum(len(images) for images in sources) * self.size**2 * 3
        in_memory = n_bytes <= self.in_memory * 2**30
        bags = self._images(sources, cache=np.inf if in_memory else 0.0)
        if in_memory:
            for bag in bags:
                bag[np.arange(len(bag))]  # reads the images into the cache
        self._train(bags, codes, self._hold_back(codes))
        return self

    def _network(self) -> Any:
        model = networks.mil_image_model(
            (self.size, self.size, 3),
            self._n_outputs,
            self.pooling,
            encoder=self.encoder,
            weights=self.weights,
            n_hidden=self.n_hidden,
            n_attention=self.n_attention,
            dropout=self.dropout,
            random_state=self.random_state,
        )
        return networks.ImageBagNetwork(model, turned=self.turned)

    def _images(self, sources: list[Sequence[Any]], cache: float = 0.0) -> list[networks.Pictures]:
        maker = networks.PictureMaker(
            "centre", (self.size, self.size), side=self.crop, interpolation="cubic", border="black"
        )
        return [networks.Pictures(images, maker, cache=cache) for images in sources]

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Return the output of the network for each patient.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.

        Returns
        -------
        list of dict of str to ndarray
            For each patient ``logit``, and ``weights`` and ``cell_logits`` of the cells.
        """
        check_is_fitted(self, "network_")
        return self.network_(self._images(_sources(X, self.groups)))


def _sources(X: Any, groups: str) -> list[Sequence[Any]]:
    """Return the files or arrays of the images of each patient."""
    if isinstance(X, pd.DataFrame):
        has_bags = CELLS in X.columns
        if not has_bags and "image" not in X.columns:
            raise ValueError("bags of images need a table with a column 'image'")
        return [sources_of(bag) for bag in as_bags(X, groups, None if has_bags else [])]
    return [sources_of(entry) if isinstance(entry, Bag) else entry for entry in X]
