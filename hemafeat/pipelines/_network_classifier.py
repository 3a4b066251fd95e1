"""Convolutional networks as ordinary classifiers of images."""

from __future__ import annotations

import inspect
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._fits import shared
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
        Name of an architecture, see `hemafeat.networks.architectures`; ``"keras:"`` and the name of
        a backbone of Keras, such as ``"keras:DenseNet121"``, see `hemafeat.networks.build`; a
        ``.keras`` file, whose training is continued; or a function ``(input_shape, n_classes)``
        that returns a Keras model from images of 0 to 255 to probabilities.
    size : int or (height, width), optional
        Size to which images are resized, in px. By default that of the publication of the network
        or its backbone, and 128 for a function.
    crop : int, "cell" or None
        Part of the image that is shown to the network: the central square of this side, in px; for
        ``"cell"`` the bounding box of the central cell, which `segmenter` finds; for None the
        whole image.
    outside : {"keep", "black", "white", "mean"}
        Pixels outside the central cell, which `segmenter` finds: as they are, black, white, or
        their mean colour. An image in which no cell is found stays as it is.
    colour : {"rgb", "hsv", "od_fixed"}
        Colour space that is shown to the network: RGB; hue, saturation and value; or optical
        density relative to a fixed white, see `hemafeat.networks.image_network`.
    weights : str, optional
        Initial weights: ``"imagenet"`` or a file, also of PyTorch, see `hemafeat.networks.build`.
        If they are for other classes, the last layer starts from random ones. Random by default.
    head : sequence of int, optional
        Numbers of nodes of the dense layers before the last one of a network named ``"keras:..."``.
        By default there are none.
    dropout : float, optional
        Rate of the dropout layers of a named network, see `hemafeat.networks.build`. By default
        that of its publication, and no dropout in a network named ``"keras:..."``.
    last_layers : int or str, optional
        Layers that are trained, in order to fine-tune a network with weights: the number of layers
        with weights, counted from the end; the name of the first one (``"block5_conv1"``); or
        ``"head"``, see `hemafeat.networks.trained_layers`. By default all layers are trained.
        `trained_layers_` lists them.
    head_epochs : int
        Number of epochs before, with `last_layers`, in which only the head is trained.
    epochs : int
        Largest number of epochs.
    patience : int, optional
        Number of epochs without improvement after which training stops. None never stops it.
    keep_best : bool
        Whether to keep the weights of the epoch with the lowest loss of the images held back, or
        those of the last epoch.
    batch_size : int
        Number of images per step.
    optimizer : str, dict or callable
        Optimiser, such as ``{"name": "sgd", "momentum": 0.9}``, see `hemafeat.networks.fit_images`.
    learning_rate : float
        Initial learning rate.
    schedule : {"plateau", "exponential", "steps", "constant"}
        How the learning rate falls, see `hemafeat.networks.fit_images`: on a plateau of the loss,
        a little in every epoch, in steps, or not at all.
    slower_by : float
        Factor of the learning rate: whenever the loss has not fallen for `slower_after` epochs
        (``"plateau"``), within `slower_after` epochs (``"exponential"``), or after each of them
        (``"steps"``).
    slower_after : int or list of int
        Number of epochs, see `slower_by`; for ``"steps"`` also a list of the epochs, counted from
        0, at which the rate falls.
    layer_rates : dict of str to float, optional
        Learning rate of each group of layers, by the name of its first layer, see
        `hemafeat.networks.fit_images`.
    class_weight : {"balanced"}, dict or None
        Weights of the classes in the loss, as in scikit-learn.
    oversample : bool
        Whether images of the rarer classes are repeated in each epoch until every class has as many
        as the largest. With ``class_weight="balanced"`` all weights are then equal.
    augment : bool, dict or callable
        Whether training images are mirrored, rotated, shifted and partly covered. A dict holds
        fields of `hemafeat.networks.Augmentation`. A callable, such as an `Augmentation`, changes
        them itself: it is called with ``(images, rng)``, an (n, H, W, channels) array of uint8 and
        a `numpy.random.Generator`, and returns images of that shape.
    views : str or callable, optional
        Versions of each image over which predictions are averaged: ``"rotations_8"``,
        ``"flips_rot90"``, ``"flips_rot90_turns"`` or a function, see
        `hemafeat.networks.predict_images`. By default the image alone.
    views_mean : {"arithmetic", "geometric"}
        Mean of the probabilities of the views, or of their logarithms.
    validation : float
        Share of the training images, in whole groups, that are held back in order to reduce the
        learning rate and to stop. With 0 the training runs for all `epochs`.
    groups : str
        Column of the table that names the groups.
    segmenter : str or callable
        Segmenter that finds the cell for ``crop="cell"`` and `outside`, see
        `hemafeat.segment.segmenter`.
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
        Training images that were held back for validation; none if images for it were given.

    Notes
    -----
    Images are read in batches, so that memory does not grow with their number beyond `cache`. The
    same seed gives the same network on one machine and backend; other processors round differently.
    The global state of the random number generators is not changed.

    A fitted classifier is pickled, and saved by `save`, with its network as a ``.keras`` file.

    Every option is checked before an image is read, by `build` and by `fit`.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.NetworkClassifier("lenet5", epochs=5, colour="hsv")
    >>> sorted(pipelines.looks_at(model))
    ['groups', 'images']
    """

    looks_at = frozenset({"images", "groups"})
    takes_validation = True

    def __init__(
        self,
        architecture: Any = "lenet5",
        *,
        size: int | tuple[int, int] | None = None,
        crop: int | str | None = None,
        outside: str = "keep",
        colour: str = "rgb",
        weights: str | None = None,
        head: Sequence[int] | None = None,
        dropout: float | None = None,
        last_layers: int | str | None = None,
        head_epochs: int = 5,
        epochs: int = 30,
        patience: int | None = 8,
        keep_best: bool = True,
        batch_size: int = 32,
        optimizer: Any = "adam",
        learning_rate: float = 1e-3,
        schedule: str = "plateau",
        slower_by: float = 0.2,
        slower_after: int | Sequence[int] = 3,
        layer_rates: dict[str, float] | None = None,
        class_weight: Any = "balanced",
        oversample: bool = False,
        augment: bool | dict[str, Any] | Callable[..., Any] = True,
        views: str | Callable[..., Any] | None = None,
        views_mean: str = "arithmetic",
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
        self.outside = outside
        self.colour = colour
        self.weights = weights
        self.head = head
        self.dropout = dropout
        self.last_layers = last_layers
        self.head_epochs = head_epochs
        self.epochs = epochs
        self.patience = patience
        self.keep_best = keep_best
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.slower_by = slower_by
        self.slower_after = slower_after
        self.layer_rates = layer_rates
        self.class_weight = class_weight
        self.oversample = oversample
        self.augment = augment
        self.views = views
        self.views_mean = views_mean
        self.validation = validation
        self.groups = groups
        self.segmenter = segmenter
        self.mixed_precision = mixed_precision
        self.cache = cache
        self.progress = progress
        self.random_state = random_state

    @shared
    def fit(
        self, X: Any, y: Any, groups: Any = None, validation: tuple[Any, Any] | None = None
    ) -> Self:
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
        validation : (X, y), optional
            Images and labels that decide when the rate is lowered and when training stops, instead
            of some of the training images.

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
        self._check()
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the labels are of one class only: {self.classes_[0]}")
        share = self.validation if validation is None else 0.0
        group_codes = groups_of(X, groups, self.groups)
        self.held_back_ = held_back = hold_back(codes, group_codes, share, self.random_state)
        if validation is not None:
            further = networks.image_sources(validation[0], "a network is validated")
            labels = np.asarray(validation[1])
            if len(labels) != len(further) or not np.isin(labels, self.classes_).all():
                raise ValueError("validation needs one label per image, of those trained on")
            sources = [*sources, *further]
            codes = np.concatenate([codes, np.searchsorted(self.classes_, labels)])
            held_back = np.concatenate([held_back, np.ones(len(further), dtype=bool)])
        self.network_ = self.build(len(self.classes_))
        self.trained_layers_ = networks.trained_layers(self.network_, self.last_layers)
        weights = None
        # Repeated images have balanced the classes.
        repeats = self.oversample and self.class_weight == "balanced"
        if self.class_weight is not None and not repeats:
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        history = networks.fit_images(
            self.network_,
            self._images(sources),
            codes,
            class_weight=weights,
            held_back=held_back,
            random_state=self.random_state,
            progress=self.progress,
            **self._training(),
        )
        self.history_ = pd.DataFrame(history).rename_axis("epoch")
        return self

    def _training(self) -> dict[str, Any]:
        """Return the options of training."""
        names = (
            "epochs", "patience", "keep_best", "batch_size", "optimizer", "learning_rate",
            "schedule", "slower_by", "slower_after", "layer_rates", "last_layers", "head_epochs",
            "oversample", "augment",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _check(self) -> None:
        """Raise a ValueError that names an option with a wrong value, without building anything."""
        networks.check_options(views=self.views, views_mean=self.views_mean, **self._training())
        networks.Pictures([], self._maker((8, 8), 3), segmenter=self.segmenter)
        if not (isinstance(self.validation, int | float) and 0 <= self.validation < 1):
            raise ValueError(
                f"validation is a share of at least 0 and below 1; got {self.validation}"
            )
        if isinstance(self.class_weight, str) and self.class_weight != "balanced":
            raise ValueError(
                f"class_weight={self.class_weight!r}: expected 'balanced', a dict or None"
            )
        if not (isinstance(self.cache, int | float) and self.cache >= 0):
            raise ValueError(f"cache={self.cache!r}: expected a number of MiB of at least 0")
        sides = self.size if isinstance(self.size, tuple | list) else [self.size] * 2
        whole = all(type(side) is int and side > 0 for side in sides)
        if self.size is not None and not (whole and len(sides) == 2):
            raise ValueError(
                f"size={self.size!r}: expected the side of the images in px, or (height, width)"
            )

    def read_columns(self, X: Any) -> Any:
        """Return those columns of a table on which the training depends.

        Parameters
        ----------
        X : DataFrame, or other images
            As in `fit`.

        Returns
        -------
        DataFrame, or `X` if it is no table
        """
        if not isinstance(X, pd.DataFrame):
            return X
        return X[[name for name in ("image", self.groups) if name in X.columns]]

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
            If an option has a wrong value, the weights cannot be had, or do not fit the network.
        """
        self._check()
        network = networks.image_network(
            self.architecture,
            n_classes,
            input_shape=self._shape(),
            colour=self.colour,
            weights=self.weights,
            head=self.head,
            dropout=self.dropout,
            mixed_precision=self.mixed_precision,
            random_state=self.random_state,
        )
        networks.check_options(network, **self._training())
        return network

    def check_weights(self) -> None:
        """Check the options and load the initial weights, so that errors come before training.

        Raises
        ------
        ImportError
            If Keras is not installed.
        ValueError
            If the weights cannot be had, or do not fit the network.
        """
        self._check()
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

    def _maker(self, size: tuple[int, int], n_channels: int) -> networks.PictureMaker:
        crop = self.crop
        if isinstance(crop, bool) or not isinstance(crop, int | np.integer | str | None):
            raise ValueError(f"crop={crop!r}: expected a side in px, 'cell' or None")
        side = None if crop is None or isinstance(crop, str) else int(crop)
        return networks.PictureMaker(
            str(crop or "whole") if side is None else "centre",
            size,
            side=side,
            margin=0.15,
            colour="grey" if n_channels == 1 else "rgb",
            interpolation="cubic",
            border="replicate" if side is None else "black",
            outside=self.outside,
        )

    def _images(self, sources: list[Any]) -> networks.Pictures:
        height, width, channels = (int(side) for side in self.network_.input_shape[1:])
        maker = self._maker((height, width), channels)
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
        probabilities = networks.predict_images(
            self.network_,
            images,
            None,
            self.batch_size,
            views=self.views,
            views_mean=self.views_mean,
        )
        return np.asarray(probabilities)

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

    def embed(self, X: Any, layer: str | None = None) -> np.ndarray:
        """Return the output of a layer, or the input of the last layer, for each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.
        layer : str, optional
            Name of the layer, see `hemafeat.networks.embed_images`. By default the input of the
            last dense layer.

        Returns
        -------
        (n_images, n_numbers) ndarray of float32

        Raises
        ------
        ValueError
            If the network has no such layer.
        """
        images = self._images_of(X)
        return np.asarray(
            networks.embed_images(self.network_, images, None, self.batch_size, layer=layer)
        )

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
        # Models of version 0.1 lack the options added since, which do nothing by default.
        parameters = inspect.signature(type(self)).parameters.values()
        state = {parameter.name: parameter.default for parameter in parameters} | state
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
