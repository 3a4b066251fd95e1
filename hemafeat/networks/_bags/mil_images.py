"""Networks on bags of images, trained end to end.

The encoder turns each image into a few numbers, and the network of `mil_model` follows. Both are
trained together, with patients as samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.networks._architectures.parts import feature_maps
from hemafeat.networks._bags.mil import mil_model
from hemafeat.networks._bags.training import BagNetwork
from hemafeat.networks._keras import layer_seed, need_keras

SMALL = "small"
"""Name of the default encoder: three convolutions and the mean and maximum of their maps."""

_KERAS = "keras:"
"""Prefix of the names of encoders of ``keras.applications``."""

_FIXED_STEP = 256  # the number of images without gradients is a multiple of it
_ENCODER_BATCH = 64  # number of cells that are encoded together in a prediction


def mil_image_model(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    n_outputs: int = 1,
    pooling: str = "attention",
    *,
    encoder: Any = SMALL,
    weights: str | None = None,
    frozen: bool = False,
    places: bool = False,
    n_hidden: int | None = 32,
    n_attention: int = 16,
    n_dense: int = 32,
    dropout: float = 0.2,
    random_state: int = 0,
) -> Any:
    """Build a network that classifies bags of images.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Shape of the image of one cell, in px.
    n_outputs : int
        Number of logits: 1 for two classes (default), else one per class.
    pooling : str
        Pooling of the cells of a bag; see `mil_model`.
    encoder : str or keras.Model
        Network that turns an image of 0 to 255 into numbers, the same for every cell. ``"small"``
        (default): three convolutions of 16, 32 and 64 filters with max pooling between, and the
        mean and largest value of each map. A name of `architectures`: that network without its last
        layer; with the name of a layer after a slash, such as ``"cnn_4_8_16/flatten"``, up to that
        layer. ``"keras:"`` and the name of a `backbone`: its last feature maps, and their means. A
        model: any network from images to (n, n_features), or to feature maps if `places`.
    weights : str, optional
        Weights of a named encoder; see `build`. By default they are random.
    frozen : bool
        Keep the weights of the encoder as they are. By default they are trained.
    places : bool
        Pool the places of the last feature maps of all images of a bag, (n, h, w, n_maps), where
        otherwise the images are pooled. The layers of `mil_model` are then convolutions of 1 x 1;
        with ``n_hidden=None`` there is only one, from the maps to the logit of each place.
    n_hidden, n_attention, n_dense, dropout, random_state
        As in `mil_model`.

    Returns
    -------
    keras.Model
        Inputs ``cells`` (n_cells, height, width, channels), the cells of all bags; ``place``
        (n_bags, largest), the indices of the cells of each bag, or of the places of their maps,
        image by image; ``mask`` (n_bags, largest), 1 for a cell and 0 for padding. Outputs as of
        `mil_model`. The encoder never sees padding, so that its batch statistics are those of
        cells.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The encoder or the pooling is unknown, or the encoder does not return (n, n_features), or
        maps.

    Notes
    -----
    With ``places=True``, ``pooling="batch_weighted"`` and ``n_hidden=None`` it is the network of
    two reports on lymphocytosis [1]_, [2]_: the logits of all places of all images of a patient are
    weighted and summed, see `pool`. They normalised images by the mean and deviation of their data;
    here an encoder scales images as its weights need it.

    References
    ----------
    .. [1] Project report on lymphocytosis classification, repository clemsgrs/lymphocytosis-mil,
       2021.
    .. [2] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.

    Examples
    --------
    >>> from hemafeat import networks
    >>> model = networks.mil_image_model((16, 16, 3))
    >>> [tensor.name for tensor in model.inputs]
    ['cells', 'place', 'mask']
    """
    keras = need_keras("a network of bags of images")
    with layer_seed(random_state):
        encoder_model = _encoder(keras, encoder, input_shape, weights, places, random_state)
    encoder_model.trainable = not frozen
    head = mil_model(
        int(encoder_model.outputs[0].shape[-1]),
        n_outputs,
        pooling,
        n_hidden=n_hidden,
        n_attention=n_attention,
        n_dense=n_dense,
        dropout=dropout,
        random_state=random_state,
    )
    # Predictions run both parts separately. XLA would take minutes to compile convolutions.
    for part in (encoder_model, head):
        part.compile(jit_compile=False)
    cells = keras.Input(input_shape, name="cells")
    place = keras.Input((None,), dtype="int32", name="place")
    mask = keras.Input((None,), name="mask")
    outputs = _outputs(keras, encoder_model(cells), head, place, mask)
    return keras.Model([cells, place, mask], outputs, name=f"image_mil_{pooling}")


def _outputs(keras: Any, encoded: Any, head: Any, place: Any, mask: Any) -> Any:
    """Return the outputs of `head` for the encoded images at `place`."""
    vectors = keras.ops.reshape(encoded, (-1, int(encoded.shape[-1])))
    return head([keras.ops.take(vectors, place, axis=0), mask])


def _encoder(
    keras: Any,
    encoder: Any,
    input_shape: tuple[int, int, int],
    weights: str | None,
    places: bool,
    seed: int,
) -> Any:
    """Build the encoder that is named or given."""
    from hemafeat.networks._architectures.architectures import ARCHITECTURES, build

    layer = ""
    if isinstance(encoder, str):
        encoder, _, layer = encoder.partition("/")
    if encoder == SMALL:
        network = _small(keras, input_shape)
        out = network.output
    elif isinstance(encoder, str) and encoder.startswith(_KERAS):
        network = feature_maps(
            encoder.removeprefix(_KERAS), keras.Input(input_shape, name="image"), weights
        )
        out = keras.layers.GlobalAveragePooling2D(name="mean")(network.output)
    elif isinstance(encoder, str):
        if encoder not in ARCHITECTURES:
            raise ValueError(
                f"no encoder {encoder!r}; there are: {', '.join([SMALL, *ARCHITECTURES])}"
            )
        with warnings.catch_warnings():
            # Weights for other classes may warn of the last layer, which is not used.
            warnings.simplefilter("ignore", UserWarning)
            network = build(encoder, 2, input_shape=input_shape, weights=weights, random_state=seed)
        out = network.get_layer("logit").input
    else:
        if not isinstance(encoder, keras.Model):
            raise ValueError("the encoder must be a Keras model, or the name of one")
        network, out = encoder, encoder.outputs[0]
    if weights is not None and (encoder == SMALL or not isinstance(encoder, str)):
        raise ValueError(f"weights={weights!r} need an encoder that is named in `architectures`")
    if layer:
        names = [one.name for one in network.layers]
        if layer not in names:
            raise ValueError(f"{encoder} has no layer {layer!r}; there are: {', '.join(names)}")
        out = network.get_layer(layer).output
    elif places and isinstance(encoder, str):
        out = [one.output for one in network.layers if _is_map(one)][-1]
    shape = out.shape
    if len(shape) != (4 if places else 2) or None in shape[1:]:
        wanted = "maps (n, height, width, n_maps)" if places else "(n, n_features)"
        raise ValueError(f"the encoder must be a Keras model from images to {wanted}")
    return keras.Model(network.inputs[0], out, name="encoder")


def _is_map(layer: Any) -> bool:
    return len(getattr(layer.output, "shape", ())) == 4


def _small(keras: Any, input_shape: tuple[int, int, int]) -> Any:
    """Build the default encoder."""
    from hemafeat.networks._architectures.parts import scaled_input

    layers = keras.layers
    if min(input_shape[:2]) < 8:
        raise ValueError(f"images of {input_shape[0]} x {input_shape[1]} are too small")
    image, x = scaled_input(input_shape, "signed")
    for number, filters in enumerate((16, 32, 64), 1):
        if number > 1:
            x = layers.MaxPooling2D(2, name=f"pool_{number - 1}")(x)
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{number}")(x)
    mean = layers.GlobalAveragePooling2D(name="mean")(x)
    largest = layers.GlobalMaxPooling2D(name="largest")(x)
    return keras.Model(image, layers.Concatenate(name="both")([mean, largest]), name="encoder")


@public
@dataclass
class ImageBagNetwork(BagNetwork):
    """A network on bags of images, fitted or to be fitted by `fit_bags`.

    A bag is any object with a length that returns images for an array of indices, ``bag[rows]``, as
    (n, height, width, channels) of 0 to 255: an array, or `Pictures`, which reads files on demand.

    Attributes
    ----------
    model : keras.Model
        Network; see `mil_image_model`.
    history, best
        See `BagNetwork`.
    turned : bool or "flips"
        Rotate training images by multiples of 90 degrees and mirror them at random (default), or
        only mirror them, from side to side and upside down.
    n_gradient : int, optional
        Largest number of images of a training step, drawn anew for each, through whose encoding
        gradients pass. Those of the others are constants, which count in the pooling, and from
        which the layers behind the encoder learn as well; but they need no memory for gradients.
        By default gradients pass through all.
    """

    turned: bool | str = True
    n_gradient: int | None = None
    _n_moving: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.turned not in (True, False, "flips"):
            raise ValueError(f"turned={self.turned!r}: expected True, False or 'flips'")
        if self.n_gradient is not None and self.n_gradient < 1:
            raise ValueError(f"n_gradient={self.n_gradient}: expected at least 1")

    @property
    def encoder(self) -> Any:
        """Network from images to numbers or maps."""
        return self.model.get_layer("encoder")

    @property
    def head(self) -> BagNetwork:
        """Network from encoded cells to the prediction of their bag."""
        return BagNetwork(next(one for one in self.model.layers if one.name.startswith("mil_")))

    @property
    def n_places(self) -> int:
        """Number of places of an image that are pooled: 1 if images are."""
        return int(np.prod(self.encoder.outputs[0].shape[1:-1]))

    def inputs(
        self,
        bags: Sequence[Any],
        n_cells: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> list[np.ndarray]:
        """Return the images of all bags, the indices of each bag's images, and the mask."""
        sizes = [len(bag) for bag in bags]
        largest = max(sizes) if n_cells is None else n_cells
        cells = np.concatenate([np.asarray(bag[np.arange(len(bag))]) for bag in bags])
        if rng is not None and self.turned:
            cells = _rotate_and_mirror(cells, rng, only_flips=self.turned == "flips")
        starts = np.cumsum([0, *sizes[:-1]])
        mask = (np.arange(largest) < np.array(sizes)[:, None]).astype(np.float32)
        place = np.where(mask > 0, starts[:, None] + np.arange(largest), 0).astype(np.int32)
        # Repeated images, which belong to no bag, keep the number of images constant: each new
        # number would be compiled.
        cells = cells[np.arange(len(bags) * largest) % len(cells)]
        return [cells, *self._with_places(place, mask)]

    def _with_places(self, place: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replace the index of each image, and its mask, by those of its places."""
        n = self.n_places
        indices = place[:, :, None] * n + np.arange(n, dtype=np.int32)
        return indices.reshape(len(place), -1), np.repeat(mask, n, axis=1)

    def training_network(self, sizes: tuple[int, int], n_cells: int) -> Any:
        """Return the network of a training step, with two inputs of images if `n_gradient` is less.

        Through the images of the first input gradients pass, through those of the second not.
        """
        keras = need_keras("a network of bags of images")
        smallest, largest = (size * n_cells for size in sizes)
        self._n_moving = 0
        if self.n_gradient is None or largest <= self.n_gradient:
            return super().training_network(sizes, n_cells)
        # The fixed images of a step are at least half a bag, for their batch statistics.
        self._n_moving = min(self.n_gradient, max(smallest - n_cells // 2, 1))
        moving, place, mask = (keras.Input(x.shape[1:], dtype=x.dtype) for x in self.model.inputs)
        fixed = keras.Input(moving.shape[1:], name="fixed")
        constant = keras.ops.stop_gradient(self.encoder(fixed))
        encoded = keras.ops.concatenate([self.encoder(moving), constant])
        outputs = _outputs(keras, encoded, self.head.model, place, mask)
        return keras.Model([moving, fixed, place, mask], outputs["logit"])

    def training_inputs(
        self, bags: Sequence[Any], n_cells: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Return the inputs of `training_network` for some bags; parameters as in `inputs`."""
        cells, place, mask = self.inputs(bags, n_cells, rng)
        if not self._n_moving:
            return [cells, place, mask]
        n_real = sum(len(bag) for bag in bags)
        # Repeated images come last, so that gradients pass through images of the bags.
        order = np.concatenate([rng.permutation(n_real), np.arange(n_real, len(cells))])
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        n = self.n_places
        place = (rank[place // n] * n + place % n).astype(np.int32)
        # Images of no bag are encoded only up to the next of a few numbers that are compiled.
        n_fixed = -(-max(n_real - self._n_moving, 1) // _FIXED_STEP) * _FIXED_STEP
        moved = cells[order[: self._n_moving + n_fixed]]
        return [moved[: self._n_moving], moved[self._n_moving :], place, mask]

    def check(self, bags: Sequence[Any]) -> None:
        """Accept all bags: images cannot contain NaN, and are read when they are needed."""

    def embed(self, bag: Any) -> np.ndarray:
        """Encode the cells of one bag.

        Parameters
        ----------
        bag : sequence of images
            See the class.

        Returns
        -------
        (n_cells, n_features) or (n_cells, h, w, n_maps) ndarray of float32
            Outputs of the encoder.
        """
        vectors = []
        for start in range(0, len(bag), _ENCODER_BATCH):
            rows = np.arange(start, min(start + _ENCODER_BATCH, len(bag)))
            images = np.asarray(bag[rows])
            batch = images[np.arange(_ENCODER_BATCH) % len(rows)]
            vectors.append(np.asarray(self.encoder.predict_on_batch(batch))[: len(rows)])
        return np.concatenate(vectors)

    def __call__(self, bags: Sequence[Any], batch_size: int = 32) -> list[dict[str, Any]]:
        """Predict bags; see `BagNetwork`.

        If places are pooled, the weight of an image is the sum of the weights of its places, its
        logit their weighted mean, and ``place_weights`` and ``place_logits`` are those of the
        places, (n_cells, h, w, n_outputs).
        """
        predictions: list[dict[str, Any]] = []
        # The encoded cells of a few bags are in memory at a time.
        for start in range(0, len(bags), batch_size):
            encoded = [self.embed(bag) for bag in bags[start : start + batch_size]]
            vectors = [values.reshape(-1, values.shape[-1]) for values in encoded]
            told_of = self.head(vectors, max(1, batch_size // self.n_places))
            for values, told in zip(encoded, told_of, strict=True):
                predictions.append(_by_image(told, values.shape[:-1]))
        return predictions


def _by_image(told: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Sum the parts of the places of each image; `shape` is (n_cells,) or (n_cells, h, w)."""
    if len(shape) == 1 or "weights" not in told:
        return told
    weights, logits = (told[name].reshape(*shape, -1) for name in ("weights", "cell_logits"))
    total = weights.sum(axis=(1, 2))
    part = (weights * logits).sum(axis=(1, 2))
    # An image without weight, of which the maximum has many, has the mean of its places.
    with np.errstate(invalid="ignore", divide="ignore"):
        logit = np.where(total > 0, part / total, logits.mean(axis=(1, 2)))
    return {
        "logit": told["logit"],
        "weights": total,
        "cell_logits": logit,
        "place_weights": weights,
        "place_logits": logits,
    }


def _rotate_and_mirror(
    cells: np.ndarray, rng: np.random.Generator, only_flips: bool = False
) -> np.ndarray:
    """Bring each image to one of its eight orientations, or of four if it is not square."""
    all_eight = cells.shape[1] == cells.shape[2] and not only_flips
    out = np.empty_like(cells)
    orientations = rng.integers(0, 8 if all_eight else 4, len(cells))
    for i, (image, orientation) in enumerate(zip(cells, orientations, strict=True)):
        if orientation & 1:
            image = image[::-1]
        if orientation & 2:
            image = image[:, ::-1]
        out[i] = image.transpose(1, 0, 2) if orientation & 4 else image
    return out
