"""A network of bags of images, end to end, as an ordinary classifier of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._public import public
from hemafeat.pipelines._patients.bags import CELLS, Bag, as_bags
from hemafeat.pipelines._patients.mil import BagClassifier


@public
class MILImageClassifier(BagClassifier):
    """Multiple-instance learning on bags of images, end to end. Needs Keras (extra ``deep``).

    Every image of a patient goes through one small network, the same for all; a pooling makes one
    verdict of them, and the whole is trained with patients as samples.

    Parameters
    ----------
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        How the cells of a patient are weighed, see `hemafeat.networks.pool`.
    encoder : str
        ``"small"``, or a name of `hemafeat.networks.architectures`; see
        `hemafeat.networks.mil_image_model`.
    weights : str, optional
        Of such a network, see `hemafeat.networks.build`.
    crop : int, optional
        Side of the square cut from the middle of each image, px; by default the largest there is.
    size : int
        Side that it is brought to before the encoder sees it.
    turned : bool
        Whether training images are turned by quarters and mirrored at random.
    n_hidden, n_attention : int
        Size of the layer after the encoder, and of the layer of attention.
    dropout : float
        Share of that layer dropped in training.
    class_weight : {"balanced"} or None
        Whether classes weigh the same in the loss.
    validation : float
        Share of the training patients that are held back to say when to stop; 0 for all `epochs`.
    epochs, patience, batch_size : int
        See `hemafeat.networks.fit_bags`.
    max_cells : int
        Of a patient with more cells so many are drawn anew for each step: with `batch_size` it says
        how many images go through the encoder at once. A verdict always looks at all of them.
    learning_rate, weight_decay : float
        Of the optimiser.
    in_memory : float
        Training images are read once where they take no more than so many GiB, else at every step.
    positive, groups
        As in `MILClassifier`.
    random_state : int
        Seed of everything that is drawn.

    Attributes
    ----------
    network_ : hemafeat.networks.ImageBagNetwork
        With the loss of every epoch.
    classes_ : ndarray

    Notes
    -----
    It looks at the middle of the whole image, so an image must show one cell. It sees background
    and scale as well as the cell: where smears of the ill were stained apart it learns that, and a
    baseline of the background alone (`stain_only`) says how much there is to be learned. The same
    seed gives the same network on one machine and backend; other processors round differently.
    """

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
        """Fit the network.

        Parameters
        ----------
        X : DataFrame or sequence
            Rows of `bags`, made of a table with a column ``image``; such a table; or for each
            patient an (n_cells, H, W, 3) array or a list of files.
        y : (n_patients,) array
            Labels.

        Raises
        ------
        ImportError
            Keras is not installed.
        ValueError
            There are no images, or several cells of one.
        hemafeat.images.ImageError
            An image cannot be read.
        """
        sources = _sources(X, self.groups)
        numbers = self._numbered(y, len(sources))
        n_bytes = sum(len(bag) for bag in sources) * self.size**2 * 3
        if n_bytes <= self.in_memory * 2**30:
            found = self._images(sources, cache=np.inf)
            for bag in found:
                bag[np.arange(len(bag))]
        else:
            found = self._images(sources)
        self._learn(found, numbers, self._held_back(numbers))
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

    def _images(self, bags: list[Sequence[Any]], cache: float = 0.0) -> list[networks.Pictures]:
        maker = networks.PictureMaker(
            "centre", (self.size, self.size), side=self.crop, interpolation="cubic", border="black"
        )
        return [networks.Pictures(sources, maker, cache=cache) for sources in bags]

    def judged(self, X: Any) -> list[dict[str, np.ndarray]]:
        """Per patient ``logit``, and ``weights`` and ``cell_logits`` of the cells."""
        check_is_fitted(self, "network_")
        return self.network_(self._images(_sources(X, self.groups)))


def _sources(X: Any, groups: str) -> list[Sequence[Any]]:
    """What to read of each patient."""
    if isinstance(X, pd.DataFrame):
        has_bags = CELLS in X.columns
        if not has_bags and "image" not in X.columns:
            raise ValueError("bags of images are made of a table with a column 'image'")
        return [_of_bag(bag) for bag in as_bags(X, groups, None if has_bags else [])]
    return [_of_bag(entry) if isinstance(entry, Bag) else entry for entry in X]


def _of_bag(bag: Bag) -> Sequence[Any]:
    found = bag.beside.get("image")
    if found is None:
        raise ValueError("the bags hold no images: the table they were made of had no 'image'")
    names = [str(one) for one in found if not isinstance(one, np.ndarray)]
    twice = len(names) - len(set(names))
    if twice:
        raise ValueError(
            f"this model looks at whole images, and {twice} cells stand in an image with another "
            "cell: measure the central cell of each (cells='central')"
        )
    return list(found)
