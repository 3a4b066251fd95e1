"""Multiple-instance learning on bags of images, as a classifier of patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._fits import shared
from hemafeat._public import public
from hemafeat.pipelines._patients.bags import CELLS, Bag, as_bags, sources_of
from hemafeat.pipelines._patients.mil import BagClassifier
from hemafeat.pipelines._patients.vote import check_rule, combine


@public
class MILImageClassifier(BagClassifier):
    """Multiple-instance learning on bags of images, end to end. Needs Keras (extra ``deep``).

    All images of a patient go through one encoder, and a pooling combines them into one prediction.
    Encoder and pooling are trained together, with patients as samples.

    Parameters
    ----------
    pooling : str
        Pooling of the cells of a patient, of their logits or of their embeddings, see
        `MILClassifier`.
    encoder : str
        Network that encodes each image: ``"small"``, a name of `hemafeat.networks.architectures`,
        also with a layer such as ``"cnn_4_8_16/flatten"``, or ``"keras:"`` and the name of a
        backbone, see `hemafeat.networks.mil_image_model`.
    weights : str, optional
        Initial weights of such a network, see `hemafeat.networks.build`. Random by default.
    frozen : bool
        Whether the weights of the encoder are kept as they are.
    places : bool
        Whether the places of the last feature maps of all images are pooled, in place of the
        images.
    n_gradient_images : int, optional
        Number of images of a step, drawn anew for each, through which gradients pass. The others
        count in the pooling, but need no memory for gradients. By default all.
    bag_size : int, optional
        Number of images of a bag. Each patient gives several bags of this size, which are samples
        of their own in training; the last is filled up with images of the first. By default one bag
        holds all images.
    bag_vote : {"mean", "majority", "min", "max"}
        Rule that turns the predictions for such bags into one for the patient, see `CellVote`.
    crop : int, optional
        Side of the square that is cut from the centre of each image, in px. By default the largest
        possible.
    size : int
        Side to which the square is resized, in px.
    turned : bool or "flips"
        Whether training images are rotated by multiples of 90 degrees and mirrored at random, or
        only mirrored, from side to side and upside down.
    n_hidden : int or None
        Size of the layer after the encoder. With None there is no such layer.
    n_attention : int
        Size of the attention layer.
    n_dense : int
        Size of the layer behind a pooling of embeddings.
    dropout : float
        Share of the layer after the encoder that is dropped in training.
    class_weight : {"balanced"}, dict or None
        Weights of the classes in the loss, as in scikit-learn.
    validation : float
        Share of the training patients that are held back in order to stop, unless `fit` is given a
        validation part. With 0 the training runs for all `epochs`.
    epochs : int
        Largest number of epochs, see `hemafeat.networks.fit_bags`.
    patience : int
        Number of epochs without improvement after which training stops.
    monitor : {"loss", "balanced_accuracy"}
        Score of the patients held back by which the best epoch is chosen.
    batch_size : int
        Number of patients, or of bags of `bag_size`, per step.
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
    history_ : DataFrame
        One row per epoch, for `hemafeat.networks.learning_curves`.

    Notes
    -----
    Bags of `bag_size` are made of the images in the order of their names, or for arrays in the
    order in which they are given. The report from which they are [1]_ does not say what became of
    images that filled no bag.

    The network sees the centre of the whole image, so that every image must show one cell. It sees
    background and scale as well as the cell: if the smears of ill patients were stained separately,
    it learns that, and the baseline `stain_only` measures how much it could learn. The same seed
    gives the same network on one machine and backend; other processors round differently.

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.MILImageClassifier("gated", size=48)
    >>> sorted(pipelines.looks_at(model))
    ['images']

    The best networks of two reports on lymphocytosis, and one of bags of ten images:

    >>> best = pipelines.MILImageClassifier(
    ...     "batch_weighted", encoder="resnet18", places=True, n_hidden=None, dropout=0.0,
    ...     crop=112, size=112, turned="flips", n_gradient_images=512, max_cells=200,
    ...     batch_size=16, learning_rate=1e-4, weight_decay=0.0, epochs=40,
    ... )
    >>> many = pipelines.MILImageClassifier(
    ...     "self_attention", encoder="cnn_4_8_16/flatten", n_hidden=128, size=224, bag_size=10,
    ...     bag_vote="majority",
    ... )
    """

    looks_at = frozenset({"images"})

    def __init__(
        self,
        pooling: str = "attention",
        *,
        encoder: str = "small",
        weights: str | None = None,
        frozen: bool = False,
        places: bool = False,
        n_gradient_images: int | None = None,
        bag_size: int | None = None,
        bag_vote: str = "mean",
        crop: int | None = None,
        size: int = 64,
        turned: bool | str = True,
        n_hidden: int | None = 32,
        n_attention: int = 16,
        n_dense: int = 32,
        dropout: float = 0.2,
        class_weight: Any = "balanced",
        validation: float = 0.2,
        epochs: int = 60,
        patience: int = 12,
        monitor: str = "loss",
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
        self.frozen = frozen
        self.places = places
        self.n_gradient_images = n_gradient_images
        self.bag_size = bag_size
        self.bag_vote = bag_vote
        self.crop = crop
        self.size = size
        self.turned = turned
        self.n_hidden = n_hidden
        self.n_attention = n_attention
        self.n_dense = n_dense
        self.dropout = dropout
        self.class_weight = class_weight
        self.validation = validation
        self.epochs = epochs
        self.patience = patience
        self.monitor = monitor
        self.batch_size = batch_size
        self.max_cells = max_cells
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.in_memory = in_memory
        self.positive = positive
        self.groups = groups
        self.random_state = random_state

    @shared
    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients: rows of `bags` of a table with a column ``image``; such a table; or for each
            patient an (n_cells, H, W, 3) array or a list of files.
        y : (n_patients,) array
            Labels.
        validation : (X, y), optional
            Patients and labels that are held back, in place of a share of the training patients.

        Returns
        -------
        MILImageClassifier
            The same object.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If there are no images, several cells in one image, or one class only; the validation
            part has another class; or a parameter has an unknown value.
        hemafeat.images.ImageError
            If an image cannot be read.
        """
        check_rule(self.bag_vote)
        if self.bag_size is not None and self.bag_size < 1:
            raise ValueError(f"bag_size={self.bag_size}: expected at least 1")
        sources = _sources(X, self.groups)
        codes = self._class_codes(y, len(sources))
        n_validation = 0
        if validation is not None:
            others = _sources(validation[0], self.groups)
            n_validation = len(others)
            sources = [*sources, *others]
            codes = np.append(codes, self._codes(validation[1]))
        held_back = self._hold_back(codes, n_validation)
        if self.bag_size is not None:
            divided = [[_chosen(images, rows) for rows in self._rows(images)] for images in sources]
            sizes = [len(bags) for bags in divided]
            n_validation = sum(sizes[len(sizes) - n_validation :])
            sources = [images for bags in divided for images in bags]
            codes, held_back = np.repeat(codes, sizes), np.repeat(held_back, sizes)
        n_bytes = sum(len(images) for images in sources) * self.size**2 * 3
        in_memory = n_bytes <= self.in_memory * 2**30
        bags = self._images(sources, cache=np.inf if in_memory else 0.0)
        if in_memory:
            for bag in bags:
                bag[np.arange(len(bag))]  # reads the images into the cache
        self._train(bags, codes, held_back, n_validation, self.bag_size)
        return self

    def check_weights(self) -> None:
        """Load the initial weights once, so that an error comes before any training.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If the weights cannot be had, or do not fit the encoder.
        """
        if self.weights is not None:
            self._network()

    def _network(self, *, initial: bool = True) -> Any:
        fitted = hasattr(self, "classes_")
        model = networks.mil_image_model(
            (self.size, self.size, 3),
            self._n_outputs if fitted else 1,
            self.pooling,
            encoder=self.encoder,
            weights=self.weights if initial else None,
            frozen=self.frozen,
            places=self.places,
            n_hidden=self.n_hidden,
            n_attention=self.n_attention,
            n_dense=self.n_dense,
            dropout=self.dropout,
            random_state=self.random_state,
        )
        return networks.ImageBagNetwork(
            model, turned=self.turned, n_gradient=self.n_gradient_images
        )

    def _images(
        self, sources: Sequence[Sequence[Any]], cache: float = 0.0
    ) -> list[networks.Pictures]:
        maker = networks.PictureMaker(
            "centre", (self.size, self.size), side=self.crop, interpolation="cubic", border="black"
        )
        return [networks.Pictures(images, maker, cache=cache) for images in sources]

    def _rows(self, images: Sequence[Any]) -> list[np.ndarray]:
        """Divide the images of a patient into bags, as indices."""
        n = len(images)
        if self.bag_size is None:
            return [np.arange(n)]
        order = np.arange(n)
        if not any(isinstance(image, np.ndarray) for image in images):
            order = np.argsort([str(image) for image in images], kind="stable")
        n_bags = -(-n // self.bag_size)
        return list(np.resize(order, (n_bags, self.bag_size)))

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Return the output of the network for each patient.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.

        Returns
        -------
        list of dict of str to ndarray
            For each patient ``logit`` and, with a pooling of logits, ``weights`` and
            ``cell_logits`` of the cells; if places are pooled, also ``place_weights`` and
            ``place_logits`` (n_cells, h, w, n_outputs). With bags of fixed size, ``logit`` is the
            mean over the bags, and ``bag_logits`` holds all of them.
        """
        check_is_fitted(self, "network_")
        sources = _sources(X, self.groups)
        if self.bag_size is None:
            return self.network_(self._images(sources))
        divided = [self._rows(images) for images in sources]
        bags = [
            _chosen(images, rows)
            for images, parts in zip(sources, divided, strict=True)
            for rows in parts
        ]
        told = iter(self.network_(self._images(bags)))
        return [_of_bags([next(told) for _ in parts], parts) for parts in divided]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each patient.

        Parameters
        ----------
        X : DataFrame or sequence
            Patients, as in `fit`.

        Returns
        -------
        (n_patients, n_classes) ndarray of float64
        """
        if self.bag_size is None:
            return super().predict_proba(X)
        return np.array(
            [
                combine(
                    self.probabilities(output["bag_logits"]),
                    self.bag_vote,
                    self.classes_,
                    self.positive,
                )
                for output in self.judged(X)
            ]
        )

    def _encoded(self, X: Any) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        check_is_fitted(self, "network_")
        sources = _sources(X, self.groups)
        for images, pictures in zip(sources, self._images(sources), strict=True):
            yield self.network_.embed(pictures), self._rows(images)


def _chosen(images: Sequence[Any], rows: np.ndarray) -> list[Any]:
    return [images[row] for row in rows]


def _of_bags(told: list[dict[str, np.ndarray]], parts: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Combine the outputs for the bags of a patient; `parts` are the indices of their cells."""
    logits = np.array([one["logit"] for one in told])
    out = {"logit": logits.mean(axis=0), "bag_logits": logits}
    if "weights" not in told[0]:
        return out
    rows = np.concatenate(parts)
    n_times = np.bincount(rows)[:, None]
    weights, logits = (
        np.concatenate([one[name] for one in told]) for name in ("weights", "cell_logits")
    )

    def by_cell(values: np.ndarray) -> np.ndarray:
        total = np.zeros((len(n_times), values.shape[1]))
        np.add.at(total, rows, values)
        return total

    total, part = by_cell(weights), by_cell(weights * logits)
    # A cell may be in two bags. One without weight has its mean logit.
    with np.errstate(invalid="ignore", divide="ignore"):
        logit = np.where(total > 0, part / total, by_cell(logits) / n_times)
    return {**out, "weights": total / len(told), "cell_logits": logit}


def _sources(X: Any, groups: str) -> list[Sequence[Any]]:
    """Return the files or arrays of the images of each patient."""
    if isinstance(X, pd.DataFrame):
        has_bags = CELLS in X.columns
        if not has_bags and "image" not in X.columns:
            raise ValueError("bags of images need a table with a column 'image'")
        return [sources_of(bag) for bag in as_bags(X, groups, None if has_bags else [])]
    return [sources_of(entry) if isinstance(entry, Bag) else entry for entry in X]
