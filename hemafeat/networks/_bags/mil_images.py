"""Multiple-instance learning end to end: bags of images, one encoder for all cells, one verdict.

The encoder turns each image into a few numbers, and what follows is the network of `mil_model`.
Both are trained as one, with patients as samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.networks._bags.mil import mil_model
from hemafeat.networks._bags.training import BagNetwork
from hemafeat.networks._keras import need_keras, seeded

SMALL = "small"
"""The encoder that is no published network: three convolutions and the means of their maps."""

_AT_ONCE = 64  # cells that go through the encoder in one call, when a verdict is asked for


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
    """A network that judges bags of images.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Of the image of one cell.
    n_outputs : int
        1 for two classes, else one per class.
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        How the cells of a bag are weighed, see `pool`.
    encoder : str or keras.Model
        What turns an image of 0 to 255 into numbers, the same for every cell: ``"small"``, three
        convolutions of 16, 32 and 64 filters with 2 x 2 maxima between, and the mean and largest
        value of each map; a name of `architectures`, without its last layer; or a network from
        images to (n, n_features).
    weights : str, optional
        Of a network of `architectures`, see `build`.
    n_hidden, n_attention, dropout, random_state
        See `mil_model`.

    Returns
    -------
    keras.Model
        Inputs ``cells`` (n_cells, height, width, channels), the cells of all bags; ``place``
        (n_bags, most), the number of each bag's cells among them; ``mask`` (n_bags, most), 1 for a
        cell and 0 for padding. Outputs as of `mil_model`. Padding never goes through the encoder,
        so that its batch statistics are those of cells.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        An unknown encoder or pooling, or an encoder that gives no rows of numbers.
    """
    keras = need_keras("a network of bags of images")
    with seeded(random_state):
        encode = _encoder(keras, encoder, input_shape, weights, random_state)
    head = mil_model(
        int(encode.outputs[0].shape[-1]),
        n_outputs,
        pooling,
        n_hidden=n_hidden,
        n_attention=n_attention,
        dropout=dropout,
        random_state=random_state,
    )
    # Asked by themselves when a verdict is wanted; compiled by XLA, convolutions take minutes.
    for part in (encode, head):
        part.compile(jit_compile=False)
    cells = keras.Input(input_shape, name="cells")
    place = keras.Input((None,), dtype="int32", name="place")
    mask = keras.Input((None,), name="mask")
    values = keras.ops.take(encode(cells), place, axis=0)
    return keras.Model([cells, place, mask], head([values, mask]), name=f"image_mil_{pooling}")


def _encoder(
    keras: Any, encoder: Any, input_shape: tuple[int, int, int], weights: str | None, seed: int
) -> Any:
    if isinstance(encoder, str) and encoder != SMALL:
        from hemafeat.networks._architectures.architectures import ARCHITECTURES, build

        if encoder not in ARCHITECTURES:
            raise ValueError(
                f"no encoder {encoder!r}; there are: {', '.join([SMALL, *ARCHITECTURES])}"
            )
        whole = build(encoder, 2, input_shape=input_shape, weights=weights, random_state=seed)
        return keras.Model(whole.inputs[0], whole.get_layer("logit").input, name="encoder")
    if weights is not None:
        raise ValueError(f"weights={weights!r} are for an encoder of `architectures`")
    if encoder == SMALL:
        return _small(keras, input_shape)
    if not isinstance(encoder, keras.Model) or len(encoder.outputs[0].shape) != 2:
        raise ValueError("an encoder is a network from images to (n, n_features)")
    return keras.Model(encoder.inputs[0], encoder.outputs[0], name="encoder")


def _small(keras: Any, input_shape: tuple[int, int, int]) -> Any:
    from hemafeat.networks._architectures.ends import opened

    layers = keras.layers
    if min(input_shape[:2]) < 8:
        raise ValueError(f"images of {input_shape[0]} x {input_shape[1]} are too small")
    image, x = opened(input_shape, "signed")
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
    """A network of bags of images, fitted or to be fitted by `fit_bags`.

    A bag is anything with a length that gives images for an array of numbers, ``bag[rows]``, as
    (n, height, width, channels) of 0 to 255: an array, or what reads files when they are asked for.

    Attributes
    ----------
    model : keras.Model
        See `mil_image_model`.
    history, best
        See `BagNetwork`.
    turned : bool
        Whether training images are turned by quarters and mirrored at random.
    """

    turned: bool = True

    def inputs(
        self,
        found: Sequence[Any],
        n_cells: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> list[np.ndarray]:
        """Images of all bags below each other, whose they are, and the mask."""
        sizes = [len(bag) for bag in found]
        most = max(sizes) if n_cells is None else n_cells
        parts = [np.asarray(bag[np.arange(len(bag))]) for bag in found]
        cells = np.concatenate(parts)
        if rng is not None and self.turned:
            cells = _turned(cells, rng)
        starts = np.cumsum([0, *sizes[:-1]])
        mask = (np.arange(most) < np.array(sizes)[:, None]).astype(np.float32)
        place = np.where(mask > 0, starts[:, None] + np.arange(most), 0).astype(np.int32)
        # As many images in every step, or each would be compiled for: the first ones once more,
        # which no bag looks at.
        wanted = len(found) * most
        return [cells[np.arange(wanted) % len(cells)], place, mask]

    def check(self, found: Sequence[Any]) -> None:
        """Nothing to check: images hold no NaN, and are read when they are needed."""

    def embed(self, bag: Any) -> np.ndarray:
        """What the encoder makes of the cells of one bag: (n_cells, n_numbers) of float32."""
        encode = self.model.get_layer("encoder")
        out = []
        for start in range(0, len(bag), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(bag)))
            images = np.asarray(bag[rows])
            filled = images[np.arange(_AT_ONCE) % len(rows)]
            out.append(np.asarray(encode.predict_on_batch(filled))[: len(rows)])
        return np.concatenate(out)

    def __call__(self, found: Sequence[Any], batch_size: int = 32) -> list[dict[str, Any]]:
        """Judge bags: per bag ``logit``, ``weights`` and ``cell_logits``, without padding."""
        head = next(layer for layer in self.model.layers if layer.name.startswith("mil_"))
        return BagNetwork(head)([self.embed(bag) for bag in found], batch_size)


def _turned(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image in one of its eight positions; in four where it is not square."""
    square = cells.shape[1] == cells.shape[2]
    out = np.empty_like(cells)
    how = rng.integers(0, 8 if square else 4, len(cells))
    for place, (image, kind) in enumerate(zip(cells, how, strict=True)):
        if kind & 1:
            image = image[::-1]
        if kind & 2:
            image = image[:, ::-1]
        out[place] = image.transpose(1, 0, 2) if kind & 4 else image
    return out
