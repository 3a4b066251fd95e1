"""Networks on bags of images, trained end to end.

The encoder turns each image into a few numbers, and the network of `mil_model` follows. Both are
trained together, with patients as samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.networks._bags.mil import mil_model
from hemafeat.networks._bags.training import BagNetwork
from hemafeat.networks._keras import layer_seed, need_keras

SMALL = "small"
"""Name of the default encoder: three convolutions and the mean and maximum of their maps."""

_ENCODER_BATCH = 64  # number of cells that are encoded together in a prediction


def mil_image_model(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    n_outputs: int = 1,
    pooling: str = "attention",
    *,
    encoder: Any = SMALL,
    weights: str | None = None,
    n_hidden: int = 32,
    n_attention: int = 16,
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
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        Weighting of the cells of a bag; see `pool`.
    encoder : str or keras.Model
        Network that turns an image of 0 to 255 into numbers, the same for every cell. ``"small"``
        (default): three convolutions of 16, 32 and 64 filters with max pooling between, and the
        mean and largest value of each map. A name of `architectures`: that network without its last
        layer. A model: any network from images to (n, n_features).
    weights : str, optional
        Weights of a network of `architectures`; see `build`. By default they are random.
    n_hidden, n_attention, dropout, random_state
        As in `mil_model`.

    Returns
    -------
    keras.Model
        Inputs ``cells`` (n_cells, height, width, channels), the cells of all bags; ``place``
        (n_bags, largest), the indices of the cells of each bag; ``mask`` (n_bags, largest), 1 for a
        cell and 0 for padding. Outputs as of `mil_model`. The encoder never sees padding, so that
        its batch statistics are those of cells.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The encoder or the pooling is unknown, or the encoder does not return (n, n_features).

    Examples
    --------
    >>> from hemafeat import networks
    >>> model = networks.mil_image_model((16, 16, 3))
    >>> [tensor.name for tensor in model.inputs]
    ['cells', 'place', 'mask']
    """
    keras = need_keras("a network of bags of images")
    with layer_seed(random_state):
        encoder_model = _encoder(keras, encoder, input_shape, weights, random_state)
    head = mil_model(
        int(encoder_model.outputs[0].shape[-1]),
        n_outputs,
        pooling,
        n_hidden=n_hidden,
        n_attention=n_attention,
        dropout=dropout,
        random_state=random_state,
    )
    # Predictions run both parts separately. XLA would take minutes to compile convolutions.
    for part in (encoder_model, head):
        part.compile(jit_compile=False)
    cells = keras.Input(input_shape, name="cells")
    place = keras.Input((None,), dtype="int32", name="place")
    mask = keras.Input((None,), name="mask")
    values = keras.ops.take(encoder_model(cells), place, axis=0)
    return keras.Model([cells, place, mask], head([values, mask]), name=f"image_mil_{pooling}")


def _encoder(
    keras: Any, encoder: Any, input_shape: tuple[int, int, int], weights: str | None, seed: int
) -> Any:
    """Build the encoder that is named or given."""
    if isinstance(encoder, str) and encoder != SMALL:
        from hemafeat.networks._architectures.architectures import ARCHITECTURES, build

        if encoder not in ARCHITECTURES:
            raise ValueError(
                f"no encoder {encoder!r}; there are: {', '.join([SMALL, *ARCHITECTURES])}"
            )
        whole = build(encoder, 2, input_shape=input_shape, weights=weights, random_state=seed)
        return keras.Model(whole.inputs[0], whole.get_layer("logit").input, name="encoder")
    if weights is not None:
        raise ValueError(f"weights={weights!r} need an encoder that is named in `architectures`")
    if encoder == SMALL:
        return _small(keras, input_shape)
    if not isinstance(encoder, keras.Model) or len(encoder.outputs[0].shape) != 2:
        raise ValueError("the encoder must be a Keras model from images to (n, n_features)")
    return keras.Model(encoder.inputs[0], encoder.outputs[0], name="encoder")


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
    turned : bool
        Rotate training images by multiples of 90 degrees and mirror them at random (default).
    """

    turned: bool = True

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
            cells = _rotate_and_mirror(cells, rng)
        starts = np.cumsum([0, *sizes[:-1]])
        mask = (np.arange(largest) < np.array(sizes)[:, None]).astype(np.float32)
        place = np.where(mask > 0, starts[:, None] + np.arange(largest), 0).astype(np.int32)
        # Repeated images, which belong to no bag, keep the number of images constant: each new
        # number would be compiled.
        return [cells[np.arange(len(bags) * largest) % len(cells)], place, mask]

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
        (n_cells, n_features) ndarray of float32
            Outputs of the encoder.
        """
        encoder = self.model.get_layer("encoder")
        vectors = []
        for start in range(0, len(bag), _ENCODER_BATCH):
            rows = np.arange(start, min(start + _ENCODER_BATCH, len(bag)))
            images = np.asarray(bag[rows])
            batch = images[np.arange(_ENCODER_BATCH) % len(rows)]
            vectors.append(np.asarray(encoder.predict_on_batch(batch))[: len(rows)])
        return np.concatenate(vectors)

    def __call__(self, bags: Sequence[Any], batch_size: int = 32) -> list[dict[str, Any]]:
        """Predict bags; see `BagNetwork`."""
        head = next(layer for layer in self.model.layers if layer.name.startswith("mil_"))
        return BagNetwork(head)([self.embed(bag) for bag in bags], batch_size)


def _rotate_and_mirror(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bring each image to one of its eight orientations, or of four if it is not square."""
    square = cells.shape[1] == cells.shape[2]
    out = np.empty_like(cells)
    orientations = rng.integers(0, 8 if square else 4, len(cells))
    for i, (image, orientation) in enumerate(zip(cells, orientations, strict=True)):
        if orientation & 1:
            image = image[::-1]
        if orientation & 2:
            image = image[:, ::-1]
        out[i] = image.transpose(1, 0, 2) if orientation & 4 else image
    return out
