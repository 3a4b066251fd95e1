"""Networks that are trained inside the fold, and a classical head on one of their layers."""

from __future__ import annotations

import re
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from hemafeat import networks
from hemafeat._public import public
from hemafeat._words import suggestion
from hemafeat.pipelines._embedding import HEADS, head_of
from hemafeat.pipelines._network_classifier import NetworkClassifier

PREFIX = "fine_tuned:"

_NAME = re.compile(PREFIX + r"(?P<network>[\w:]+)(?:/(?P<layer>[^+]+))?\+(?P<head>\w+)")


@public
class FineTuned(ClassifierMixin, BaseEstimator):
    """Network that is trained, and a classifier of its embeddings, see `fine_tuned`.

    Parameters
    ----------
    network : NetworkClassifier
        Network, which is cloned.
    head : estimator
        Classifier of (n_images, n_numbers) arrays, which is cloned.
    layer : str, optional
        Layer whose output is the embedding, see `NetworkClassifier.embed`.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    network_ : NetworkClassifier
        The trained network, with its `history_` and `trained_layers_`.
    head_ : estimator
        The fitted head.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from hemafeat import pipelines
    >>> network = pipelines.NetworkClassifier("vgg16_head", last_layers="block4_conv1")
    >>> model = pipelines.FineTuned(network, SVC(C=100, probability=True), "dense_1")
    >>> sorted(pipelines.looks_at(model))
    ['groups', 'images']
    """

    looks_at = frozenset({"images", "groups"})
    takes_validation = True

    def __init__(self, network: Any, head: Any, layer: str | None = None) -> None:
        self.network = network
        self.head = head
        self.layer = layer

    def fit(self, X: Any, y: Any, groups: Any = None, validation: Any = None) -> Self:
        """Train the network, and fit the head to its embeddings of the same images.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.
        y : (n_images,) array
            Labels.
        groups : (n_images,) array-like, optional
            Groups that are not split when the network holds images back.
        validation : (X, y), optional
            Images and labels of a validation part, which the network takes instead of holding
            images back. The head does not learn from them.

        Returns
        -------
        FineTuned
            The same object.

        Raises
        ------
        ImportError
            If Keras is not installed.
        hemafeat.images.ImageError
            If an image cannot be read.
        ValueError
            If the network has no such layer, or as for `NetworkClassifier.fit`.
        """
        if self.layer is not None:
            # Before the training, not after it.
            self.build(max(2, len(np.unique(np.asarray(y)))))
        given = {"groups": groups, "validation": validation}
        given = {name: value for name, value in given.items() if value is not None}
        self.network_ = clone(self.network).fit(X, y, **given)
        self.head_ = clone(self.head).fit(self.network_.embed(X, self.layer), np.asarray(y))
        self.classes_ = self.head_.classes_
        return self

    def build(self, n_classes: int) -> Any:
        """Build the network before its training, as `NetworkClassifier.build`.

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
            If an option has a wrong value, the weights cannot be had, or there is no such layer.
        """
        network = self.network.build(n_classes)
        networks.check_options(network, layer=self.layer)
        return network

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each image, if the head has probabilities.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images, n_classes) ndarray of float64
            In the order of `classes_`.
        """
        return np.asarray(self.head_.predict_proba(self.embed(X)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images,) ndarray
        """
        return np.asarray(self.head_.predict(self.embed(X)))

    def embed(self, X: Any) -> np.ndarray:
        """Return what the head gets for each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, sequence of paths, or (n, H, W, 3) array
            One image per cell.

        Returns
        -------
        (n_images, n_numbers) ndarray of float32
        """
        check_is_fitted(self, "head_")
        return np.asarray(self.network_.embed(X, self.layer))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


def fine_tuned(
    network: Any,
    head: Any = "svc",
    layer: str | None = None,
    *,
    random_state: int = 0,
    **options: Any,
) -> FineTuned:
    """Train a network, then classify images by the output of one of its layers.

    The methods are those of [1]_ and [2]_.

    Both are fitted to the same training images, so that a comparison trains them anew in every
    fold, and no test image is seen by either.

    Parameters
    ----------
    network : str or NetworkClassifier
        Network, or its name or file, as `architecture` of `NetworkClassifier`.
    head : {"svc", "xgboost", "logistic", "random_forest", "knn", "ldsvm"} or estimator
        Classifier of the embeddings: that of `embedding` of this name, or any classifier of
        arrays, such as ``SVC(C=100)``.
    layer : str, optional
        Layer whose output is the embedding, such as ``"dense_1"``, see `NetworkClassifier.embed`.
        By default the input of the last dense layer.
    random_state : int
        Seed of a network and a head that are given by name.
    **options
        Parameters of `NetworkClassifier`, where `network` is a name.

    Returns
    -------
    FineTuned
        Unfitted.

    Raises
    ------
    ValueError
        If there is no such head, or options are given with a network that has its own.

    Notes
    -----
    [1]_ puts XGBoost on the mean of the last maps of Inception-v3 (``fine_tuned("inception_v3",
    "xgboost")``); [2]_ a support-vector machine on the first dense layer of VGG16
    (``fine_tuned("vgg16_head", SVC(C=100), "dense_1", last_layers="block4_conv1")``). The published
    weighted F1 of .985 of both belongs to divisions by image: it is not a target for held-out
    patients.

    The head learns from all training images, also from those that the network held back in order to
    stop: a choice of this package, as the reports do not say.

    References
    ----------
    .. [1] S. Ramaneswaran et al., "Hybrid Inception v3 XGBoost Model for Acute Lymphoblastic
       Leukemia Classification", Computational and Mathematical Methods in Medicine, 2021.
    .. [2] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells).

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.fine_tuned("keras:MobileNet", head="xgboost", epochs=5)
    >>> model.network.architecture, model.network.epochs, list(model.head.named_steps)
    ('keras:MobileNet', 5, ['model'])
    """
    if isinstance(network, NetworkClassifier):
        if options:
            raise ValueError(f"the network has its own options; got also {', '.join(options)}")
    else:
        check_names(options, str(network))
        network = NetworkClassifier(network, random_state=random_state, **options)
    if isinstance(head, str):
        head = head_of(head, random_state)
    elif not hasattr(head, "fit") or isinstance(head, type):
        raise ValueError(
            f"head={head!r}: expected a classifier, or one of the names {', '.join(HEADS)}"
        )
    return FineTuned(network, head, layer)


def check_names(options: Any, name: str) -> None:
    """Raise a ValueError for an option that networks do not have."""
    known = list(NetworkClassifier().get_params())
    for option in options:
        if option not in known or option == "architecture":
            raise ValueError(f"{name}: no option {option!r}; {suggestion(option, known)}")


def from_name(name: str, *, random_state: int = 0, **options: Any) -> FineTuned:
    """Return the model of a name such as ``fine_tuned:vgg16_head/dense_1+svc``.

    Raises
    ------
    ValueError
        If the name cannot be parsed, or there is no such head or option.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"there is no pipeline {name!r}; names of networks with a head are "
            f"{PREFIX}NETWORK[/LAYER]+HEAD, such as {PREFIX}vgg16_head/dense_1+svc"
        )
    return fine_tuned(
        match["network"], match["head"], match["layer"], random_state=random_state, **options
    )
