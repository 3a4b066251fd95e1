"""Convolutional networks as ordinary classifiers of images."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._public import public
from hemafeat.pipelines._steps.inner_folds import GROUP, groups_of, hold_back


# Not keras.wrappers.SKLearnClassifier: it takes two-dimensional arrays of numbers only, has no
# probabilities, class weights or groups, loses its fitting options when it is cloned (3.15), and
# needs a compiled model.
@public
class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """Convolutional network that classifies images. Needs Keras (extra ``deep``).

    Parameters
    ----------
    architecture : str, path or callable
        Name of an architecture, see `hemafeat.networks.architectures`; a ``.keras`` file, whose
        training is continued; or a function ``(input_shape, n_classes)`` that returns a Keras model
        from images of 0 to 255 to probabilities.
    size : int or (height, width), optional
        Size to which images are resized, in px. By default that of the publication of the network,
        and 128 for a function.
    crop : int, "cell" or None
        Part of the image that is shown to the network: the central square of this side, in px; for
        ``"cell"`` the bounding box of the central cell, which `segmenter` finds; for None the
        whole image.
    colour : {"rgb", "hsv", "od_fixed"}
        Colour space that is shown to the network: RGB; hue, saturation and value; or optical
        density relative to a fixed white, see `hemafeat.networks.image_network`.
    weights : str, optional
        Initial weights: ``"imagenet"`` or a file, also of PyTorch, see `hemafeat.networks.build`.
        If they are for other classes, the last layer starts from random ones. Random by default.
    last_layers : int, optional
        Number of layers with weights, counted from the end, that are trained, in order to fine-tune
        a network with weights. Layers without weights, such as the softmax, pooling and dropout,
        do not count. By default all layers are trained. `trained_layers_` lists them.
    head_epochs : int
        Number of epochs before, with `last_layers`, in which only the head is trained.
    epochs : int
        Largest number of epochs.
    patience : int
        Number of epochs without improvement after which training stops.
    batch_size : int
        Number of images per step.
    optimizer : str, dict or callable
        Optimiser, see `hemafeat.networks.fit_images`.
    learning_rate : float
        Initial learning rate.
    slower_by : float
        Factor of the learning rate whenever the loss has not fallen for `slower_after` epochs.
    slower_after : int
        Number of epochs without improvement after which the learning rate is reduced.
    class_weight : {"balanced"}, dict or None
        Weights of the classes in the loss, as in scikit-learn.
    augment : bool, dict or callable
        Whether training images are mirrored, rotated, shifted and partly covered. A dict holds
        parameters of `hemafeat.networks.Augmentation`. A callable, such as an `Augmentation`,
        changes them itself: it is called with ``(images, rng)``, an (n, H, W, channels) array of
        uint8 and a `numpy.random.Generator`, and returns images of that shape.
    validation : float
        Share of the training images, in whole groups, that are held back in order to reduce the
        learning rate and to stop. With 0 the training runs for all `epochs`.
    groups : str
        Column of the table that names the groups.
    segmenter : str or callable
        Segmenter that finds the cell for ``crop="cell"``, see `hemafeat.segment.segmenter`.
    mixed_precision : bool
        Whether to compute in half precision if there is an accelerator.
    cache : float
        Size of the images that are kept in memory, in MiB.
    progress : bool, optional
        Whether to show a bar of the epochs. By default it is shown on a terminal.
    random_state : int
        Seed of the weights, the order of the images, their augmentation and the images held back.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    network_ : keras.Model
        The trained network, from RGB images of 0 to 255 to probabilities.
    history_ : DataFrame
        One row per epoch, see `hemafeat.networks.fit_images`, for
        `hemafeat.networks.learning_curves`.
    trained_layers_ : list of str
        Names of the layers with weights that were trained.
    held_back_ : (n_images,) ndarray of bool
        Training images that were held back for validation.

    Notes
    -----
    Images are read in batches, so that memory does not grow with their number beyond `cache`. The
    same seed gives the same network on one machine and backend; other processors round differently.
    The global state of the random number generators is not changed.

    A fitted classifier is pickled, and saved by `save`, with its network as a ``.keras`` file.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.NetworkClassifier("lenet5", epochs=5, colour="hsv")
    >>> sorted(pipelines.looks_at(model))
    ['groups', 'images']
    """

    looks_at = frozenset({"images", "groups"})

    def __init__(
        self,
        architecture: Any = "lenet5",
        *,
        size: int | tuple[int, int] | None = None,
        crop: int | str | None = None,
        colour: str = "rgb",
        weights: str | None = None,
        last_layers: int | None = None,
        head_epochs: int = 5,
        epochs: int = 30,
        patience: int = 8,
        batch_size: int = 32,
        optimizer: Any = "adam",
        learning_rate: float = 1e-3,
        slower_by: float = 0.2,
        slower_after: int = 3,
        class_weight: Any = "balanced",
        augment: bool | dict[str, Any] | Callable[..., Any] = True,
        validation: float = 0.15,
        groups: str = GROUP,
        segmenter: Any = "contours",
        mixed_precision: bool = True,
        cache: float = 512.0,
        progress: bool | None = None,
        random_state: int = 0,
    ) -> None:
        self.architecture = architecture
        self.size = size
        self.crop = crop
        self.colour = colour
        self.weights = weights
        self.last_layers = last_layers
        self.head_epochs = head_epochs
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.slower_by = slower_by
        self.slower_after = slower_after
        self.class_weight = class_weight
        self.augment = augment
        self.validation = validation
        self.groups = groups
        self.segmenter = segmenter
        self.mixed_precision = mixed_precision
        self.cache = cache
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.
        y : (n_images,) array
            Labels.
        groups : (n_images,) array-like, optional
            Groups that are not split when images are held back. By default the column `groups` of
            the table; without it every image is a group of its own.

        Returns
        -------
        NetworkClassifier
            The same object.

        Raises
        ------
        ImportError
            If Keras is not installed.
        hemafeat.images.ImageError
            If an image cannot be read.
        ValueError
            If there is one class only, or labels or network do not fit the images.
        """
        sources = networks.image_sources(X, "a network learns")
        y = np.asarray(y)
        check_classification_targets(y)
        if len(y) != len(sources):
            raise ValueError(f"{len(sources)} images and {len(y)} labels")
        if not 0 <= self.validation < 1:
            raise ValueError(
                f"validation is a share of at least 0 and below 1; got {self.validation}"
            )
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the labels are of one class only: {self.classes_[0]}")
        group_codes = groups_of(X, groups, self.groups)
        self.held_back_ = hold_back(codes, group_codes, self.validation, self.random_state)
        augment = self._augmentation()
        self.network_ = self.build(len(self.classes_))
        self.trained_layers_ = networks.trained_layers(self.network_, self.last_layers)
        weights = None
        if self.class_weight is not None:
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        history = networks.fit_images(
            self.network_,
            self._images(sources),
            codes,
            class_weight=weights,
            held_back=self.held_back_,
            epochs=self.epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            slower_by=self.slower_by,
            slower_after=self.slower_after,
            last_layers=self.last_layers,
            head_epochs=self.head_epochs,
            augment=augment,
            random_state=self.random_state,
            progress=self.progress,
        )
        self.history_ = pd.DataFrame(history).rename_axis("epoch")
        return self

    def build(self, n_classes: int) -> Any:
        """Build the network before its training, with its initial weights.

        Parameters
        ----------
        n_classes : int
            Number of classes.

        Returns
        -------
        keras.Model

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If the weights cannot be had, or do not fit the network.
        """
        return networks.image_network(
            self.architecture,
            n_classes,
            input_shape=self._shape(),
            colour=self.colour,
            weights=self.weights,
            mixed_precision=self.mixed_precision,
            random_state=self.random_state,
        )

    def check_weights(self) -> None:
        """Load the initial weights once, so that an error comes before any training.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If the weights cannot be had, or do not fit the network.
        """
        if self.weights is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # `fit` warns of a last layer that is left out
                self.build(2)

    def _shape(self) -> tuple[int, int, int] | None:
        if self.size is None:
            return None
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        n_channels = 3
        if isinstance(self.architecture, str) and self.architecture in networks.ARCHITECTURES:
            n_channels = networks.ARCHITECTURES[self.architecture].input_shape[2]
        return int(height), int(width), n_channels

    def _augmentation(self) -> Any:
        plain = self.augment is None or isinstance(self.augment, bool | np.bool_ | dict)
        if plain and not self.augment:
            return None
        if callable(self.augment) and not isinstance(self.augment, type):
            return self.augment
        try:
            if isinstance(self.augment, dict):
                return networks.Augmentation(**self.augment)
        except TypeError as error:
            raise ValueError(f"augment={self.augment!r}: {error}") from None
        if isinstance(self.augment, bool | np.bool_):
            return networks.Augmentation()
        raise ValueError(
            f"augment={self.augment!r}: expected True, False, a dict of parameters of "
            "networks.Augmentation, or a callable (images, rng)"
        )

    def _images(self, sources: list[Any]) -> networks.Pictures:
        height, width, channels = (int(side) for side in self.network_.input_shape[1:])
        side = None if self.crop is None or isinstance(self.crop, str) else int(self.crop)
        maker = networks.PictureMaker(
            str(self.crop or "whole") if side is None else "centre",
            (height, width),
            side=side,
            margin=0.15,
            colour="grey" if channels == 1 else "rgb",
            interpolation="cubic",
            border="replicate" if side is None else "black",
        )
        return networks.Pictures(sources, maker, segmenter=self.segmenter, cache=self.cache)

    def _images_of(self, X: Any) -> networks.Pictures:
        check_is_fitted(self, "network_")
        return self._images(networks.image_sources(X, "a network judges"))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images, n_classes) ndarray of float64
            In the order of `classes_`; each row sums to 1.
        """
        images = self._images_of(X)
        return np.asarray(networks.predict_images(self.network_, images, None, self.batch_size))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def images(self, X: Any) -> np.ndarray:
        """Return the images as they are shown to the network.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images, height, width, n_channels) ndarray of uint8
        """
        images = self._images_of(X)
        return images[np.arange(len(images))]

    def embed(self, X: Any) -> np.ndarray:
        """Return the input of the last layer for each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images, n_numbers) ndarray of float32
        """
        images = self._images_of(X)
        return np.asarray(networks.embed_images(self.network_, images, None, self.batch_size))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "network_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.keras"
                self.network_.save(path)
                state["network_"] = np.frombuffer(path.read_bytes(), np.uint8)
            state["history_"] = {str(k): v.tolist() for k, v in self.history_.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "network_" in state:
            state["network_"] = _network_from_bytes(bytes(state["network_"]))
            state["history_"] = pd.DataFrame(state["history_"]).rename_axis("epoch")
        super().__setstate__(state)


def _network_from_bytes(data: bytes) -> Any:
    # Keras reads files only. The folder is new: others may write into a shared one.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.keras")
        Path(path).write_bytes(data)
        return networks.load_network(path)
