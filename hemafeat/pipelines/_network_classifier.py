"""A convolutional network as an ordinary classifier of images."""

from __future__ import annotations

import os
import tempfile
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
from hemafeat.pipelines._patients.mil import networks_module
from hemafeat.pipelines._steps.inner_folds import GROUP, groups_of, held_back


# Not keras.wrappers.SKLearnClassifier: that takes two-dimensional arrays of numbers only, gives no
# probabilities, knows neither class weights nor groups, loses its fitting options when it is cloned
# (3.15), and wants a compiled model.
@public
class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A network of images as a scikit-learn classifier. Needs Keras (extra ``deep``).

    Parameters
    ----------
    architecture : str, path or callable
        A name of `hemafeat.networks.architectures`; a ``.keras`` file, from which training goes on;
        or a function ``(input_shape, n_classes)`` that gives a Keras model from images of 0 to 255
        to probabilities.
    size : int or (height, width), optional
        What images are brought to; by default what the network was published with, and 128 for a
        function.
    crop : int, "cell" or None
        Side of the square cut from the middle before, px; ``"cell"``: the box of the cell in the
        middle, which `segmenter` finds; None: the whole image.
    colour : {"rgb", "hsv", "od_fixed"}
        What the network is shown: the image; hue, saturation and value; or optical density
        relative to a fixed white; see `hemafeat.networks.image_network`.
    weights : str, optional
        Where training starts: ``"imagenet"`` or a file, see `hemafeat.networks.build`.
    last_layers : int, optional
        Train the last so many layers only, as when a network with weights is fine-tuned.
    head_epochs : int
        With `last_layers`, epochs before in which only the head is trained.
    epochs, patience, batch_size : int
        Most epochs, epochs to wait for a better one, images per step.
    optimizer : str, dict or callable
        As in `hemafeat.networks.fit_images`.
    learning_rate : float
        At the start.
    slower_by, slower_after : float, int
        The rate is multiplied by `slower_by` where the loss has not fallen for `slower_after`
        epochs.
    class_weight : {"balanced"}, dict or None
        Weight of the classes in the loss, as in scikit-learn.
    augment : bool or dict
        Whether training images are mirrored, turned, moved and partly covered; a dict gives the
        parameters of `hemafeat.networks.Augmentation`.
    validation : float
        Share of the training images that are held back to say when to slow down and when to stop:
        whole groups, never divided. 0 runs all `epochs`.
    groups : str
        Column of the table that says what must stay together.
    segmenter : str or callable
        Finds the cell for ``crop="cell"``, as in `hemafeat.segment.segmenter`.
    mixed_precision : bool
        Half precision where an accelerator is there.
    cache : float
        MiB of images that are kept in memory.
    progress : bool, optional
        A bar of the epochs; by default where a person watches.
    random_state : int
        Seed of everything that is drawn.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    network_ : keras.Model
        From RGB images of 0 to 255 to probabilities.
    history_ : DataFrame
        One row per epoch, see `hemafeat.networks.fit_images`;
        `hemafeat.networks.learning_curves` draws it.
    held_back_ : (n_images,) ndarray of bool
        Training images that were held back.

    Notes
    -----
    Images are read in batches, so that memory does not grow with their number beyond `cache`. The
    same seed gives the same network on one machine and backend; other processors round
    differently. The state of random numbers outside is left as it was.

    A fitted one is pickled, and saved by `save`, with its network as a ``.keras`` file inside.
    """

    reads_images = True
    """What tells `evaluate.compare` to give this step the images, not the features."""
    takes_groups = True
    """What tells `evaluate.compare` to give it the groups beside."""

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
        augment: bool | dict[str, Any] = True,
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
            What must stay together when images are held back; by default the column `groups` of
            the table, and without one every image is a group of its own.

        Raises
        ------
        ImportError
            Keras is not installed.
        hemafeat.images.ImageError
            An image cannot be read.
        ValueError
            One class only, labels that do not fit, or a network that does not.
        """
        networks = networks_module()
        sources = networks.image_sources(X, "a network learns")
        y = np.asarray(y)
        check_classification_targets(y)
        if len(y) != len(sources):
            raise ValueError(f"{len(sources)} images and {len(y)} labels")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is a share, 0 to below 1; got {self.validation}")
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"one class only: {self.classes_[0]!r}")
        which = groups_of(X, groups, self.groups)
        self.held_back_ = held_back(numbers, which, self.validation, self.random_state)
        self.network_ = networks.image_network(
            self.architecture,
            len(self.classes_),
            input_shape=self._shape(networks),
            colour=self.colour,
            weights=self.weights,
            mixed_precision=self.mixed_precision,
            random_state=self.random_state,
        )
        weight = None
        if self.class_weight is not None:
            weight = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        history = networks.fit_images(
            self.network_,
            self._images(sources),
            numbers,
            class_weight=weight,
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
            augment=self._augmentation(networks),
            random_state=self.random_state,
            progress=self.progress,
        )
        self.history_ = pd.DataFrame(history).rename_axis("epoch")
        return self

    def _shape(self, networks: Any) -> tuple[int, int, int] | None:
        if self.size is None:
            return None
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        known = networks.ARCHITECTURES.get(self.architecture) if self._named else None
        return int(height), int(width), known.input_shape[2] if known else 3

    @property
    def _named(self) -> bool:
        return isinstance(self.architecture, str) and not self.architecture.endswith(".keras")

    def _augmentation(self, networks: Any) -> Any:
        if not self.augment:
            return None
        return networks.Augmentation(**(self.augment if isinstance(self.augment, dict) else {}))

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

    def _asked(self, X: Any) -> networks.Pictures:
        check_is_fitted(self, "network_")
        return self._images(networks.image_sources(X, "a network judges"))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images, n_classes) ndarray of float64
            In the order of `classes_`; each row sums to 1.
        """
        asked = self._asked(X)
        found = networks_module().predict_images(self.network_, asked, None, self.batch_size)
        return np.asarray(found)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def images(self, X: Any) -> np.ndarray:
        """The images as the network is given them: (n_images, height, width, channels) uint8.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.
        """
        asked = self._asked(X)
        return asked[np.arange(len(asked))]

    def embed(self, X: Any) -> np.ndarray:
        """The numbers that the last layer looks at: (n_images, n_numbers) ndarray of float32.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.
        """
        asked = self._asked(X)
        found = networks_module().embed_images(self.network_, asked, None, self.batch_size)
        return np.asarray(found)

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
            state["network_"] = _restored(bytes(state["network_"]))
            state["history_"] = pd.DataFrame(state["history_"]).rename_axis("epoch")
        super().__setstate__(state)


def _restored(data: bytes) -> Any:
    # No file of a fixed name: others may write into the same folder.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.keras")
        Path(path).write_bytes(data)
        return networks_module().load_network(path)
