"""Embeddings as a scikit-learn step and as columns of a table: what a trained network sees."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat import images
from hemafeat._public import public
from hemafeat.extract import Prepared, error_row
from hemafeat.networks._embedding.backbones import WeightsError
from hemafeat.networks._embedding.cache import LIMIT_MB, Cache, default_folder
from hemafeat.networks._embedding.names import family_name, weights_in_words
from hemafeat.networks._embedding.network import source_of
from hemafeat.networks._embedding.rows import Flow, Rows, which
from hemafeat.networks._embedding.runtimes import Ready, check_runtime, ready, threads
from hemafeat.networks._pictures import Shown, streams_of
from hemafeat.segment import MaskError, as_masks, segmenter


@public
class Embedding(TransformerMixin, BaseEstimator):
    """Read images and give what a network of ``keras.applications`` makes of each.

    Parameters
    ----------
    backbone : str
        ``"InceptionV3"``, ``"VGG16"``, ``"InceptionResNetV2"``, ``"EfficientNetB1"``,
        ``"MobileNet"``, ``"DenseNet121"``, ``"ResNet50"`` or ``"Xception"``.
    weights : str, path or None
        ``"imagenet"``: Keras' own file, from its cache (``~/.keras/models``) or fetched. A file:
        ``.h5`` or ``.weights.h5`` of that backbone, with or without its last layers, or a whole
        network as ``.keras``. None: random weights drawn from `random_state`, which have learnt
        nothing; `fit` warns of it, and the names of the columns say it.
    layer : str, optional
        Name of the layer to take, such as ``"fc1"`` of VGG16; maps are averaged over the image. By
        default the mean of the last maps (InceptionV3: 2,048 numbers).
    streams : str or list of str
        What the network is shown: ``"rgb"``, ``"hsv"``, ``"od"`` (optical density) or ``"masked"``
        (white outside the cell); alone for the whole image, with ``_centre`` for the square at its
        centre, with ``_cell`` for the square round the cell. Several are laid side by side.
    size : int, optional
        Side that pictures are resized to, in px; by default what the backbone was trained on.
    centre : int
        Side of the square at the centre, in px.
    margin : float
        Room round the cell, as a share of the longer side of its box.
    segmenter : str or callable
        What finds the cell, as in `extract.table`; asked only where a stream needs it (``"od"``
        for the white of the background).
    masks : {None, "given"}
        ``"given"``: the files named in the column ``mask`` take the place of the segmenter.
    batch_size : int
        Pictures given to the network together.
    runtime : {"auto", "onnxruntime", "openvino", "opencv", "keras"}
        ``"auto"``: the quickest that is installed. They agree to 1e-4 of the largest number of an
        image.
    cache : bool or path
        Keep vectors on disk: True in the folder of the user (or of ``HEMAFEAT_CACHE``), or the
        folder to keep them in.
    cache_mb : int
        Most the cache may take; what was used least recently goes first.
    on_error : {"raise", "nan"}
        What to do with an image that cannot be read or shows no cell: stop, or a row of NaN and one
        warning.
    n_jobs : int, optional
        Threads of the network; all processors by default.
    progress : bool, optional
        Show a bar; by default when a person is watching the terminal.
    random_state : int
        Seed of random weights.

    Attributes
    ----------
    digest_ : str
        16 hexadecimal digits of the weights; `transform` refuses others.
    weights_ : str
        Which weights they are, in words.
    family_ : str
        What its columns are called after.
    n_features_out_ : int

    Notes
    -----
    Columns are called ``cell__embedding_BACKBONE[_LAYER]_WEIGHTS__0000``, where WEIGHTS is
    ``imagenet``, ``random0`` (with the seed) or ``file`` and eight digits of `digest_`; another
    stream than the whole image in RGB follows as ``__hsv_cell``.

    What goes into a network is uint8 and small, whatever the image; only the pictures of one batch
    are in memory. An image that comes up again is looked at once.
    """

    reads_images = True
    """What tells `evaluate.compare` to give this step the images, not the features."""

    def __init__(
        self,
        backbone: str = "InceptionV3",
        weights: str | os.PathLike[str] | None = "imagenet",
        layer: str | None = None,
        streams: str | Iterable[str] = "rgb",
        size: int | None = None,
        centre: int = 256,
        margin: float = 0.1,
        segmenter: str | Callable[[np.ndarray], Any] = "contours",
        masks: str | None = None,
        batch_size: int = 16,
        runtime: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        cache_mb: int = LIMIT_MB,
        on_error: str = "raise",
        n_jobs: int | None = None,
        progress: bool | None = None,
        random_state: int = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.streams = streams
        self.size = size
        self.centre = centre
        self.margin = margin
        self.segmenter = segmenter
        self.masks = masks
        self.batch_size = batch_size
        self.runtime = runtime
        self.cache = cache
        self.cache_mb = cache_mb
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Load the network and check the settings; nothing is learnt from the images.

        Parameters
        ----------
        X, y : object
            Not looked at.

        Raises
        ------
        ImportError
            Keras is not installed, or the runtime asked for.
        ValueError
            A setting that cannot be; see also `WeightsError` for weights.

        Warns
        -----
        UserWarning
            The weights are random.
        """
        self._check()
        net = self.ready()
        self.digest_ = net.digest
        self.side_, self.width_ = net.side, net.width
        self.weights_ = weights_in_words(self._source(), net.digest)
        self.family_ = family_name(self._source(), net.digest)
        self.n_features_out_ = net.width * len(streams_of(self.streams))
        if self.weights is None:
            warnings.warn(f"{self._source().backbone}: {self.weights_}", stacklevel=2)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed the images.

        Parameters
        ----------
        X : DataFrame with a column ``image``, or sequence
            Paths or (H, W, 3) uint8 arrays, one per row. A column ``cell`` (1, 2, ...) says which
            cell of the image is meant; by default it is the one at its centre.

        Returns
        -------
        (n_rows, n_features) ndarray of float32
            A DataFrame after ``set_output(transform="pandas")``.

        Raises
        ------
        hemafeat.images.ImageError
            An image cannot be read, or its cell is not found, unless ``on_error="nan"``.
        WeightsError
            The weights are not those of `fit`.
        """
        values, failures = self._embedded(X)
        if failures:
            first = failures[0]
            warnings.warn(
                f"{len(failures)} of {len(values)} rows could not be embedded; the first is "
                f"{first}",
                stacklevel=2,
            )
        return values

    def join(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of cells with the embeddings as further columns.

        Parameters
        ----------
        table : DataFrame
            As `extract.table` gives it: with ``image`` and ``cell``.

        Returns
        -------
        DataFrame
            The same rows. What could not be embedded is NaN, with a row in ``extract.errors``.

        Raises
        ------
        ValueError
            The table has columns of these names already.
        """
        if not hasattr(self, "digest_"):
            self.fit()
        names = [str(name) for name in self.get_feature_names_out()]
        if there := set(names) & set(map(str, table.columns)):
            raise ValueError(f"the table has {len(there)} of the columns already: {min(there)} ...")
        values, failures = self._embedded(table, on_error="nan")
        found = pd.DataFrame(values.astype(np.float64), columns=names, index=table.index)
        joined = pd.concat([table, found], axis=1)
        joined.attrs = dict(table.attrs)
        if "units" in joined.attrs:
            joined.attrs["units"] = {**joined.attrs["units"], **dict.fromkeys(names, "1")}
        rows = [error_row(error.image, "embed", error) for error in failures]
        joined.attrs["errors"] = [*joined.attrs.get("errors", []), *rows]
        return joined

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """(n_features,) object array of column names."""
        check_is_fitted(self, "family_")
        return np.asarray(
            [f"cell__{self.family_}__{name}" for name in self.feature_names()], dtype=object
        )

    def feature_names(self) -> list[str]:
        """The last part of each column name: number, and the stream where it has to be said."""
        ends = ["" if s.name == "rgb" else f"__{s.name}" for s in streams_of(self.streams)]
        return [f"{number:04d}{end}" for end in ends for number in range(self.width_)]

    def ready(self, n_threads: int | None = None) -> Ready:
        """The network, loaded once per process."""
        return ready(self._source(), self.runtime, threads(n_threads or self.n_jobs))

    def store(self, net: Ready) -> Cache:
        """The vectors on disk for this network."""
        folder = None
        if self.cache is not False:
            folder = default_folder() if self.cache is True else Path(self.cache)
        of = f"{net.digest} {self.layer} {net.runtime}"
        return Cache(folder, net.width, of, self.cache_mb)

    def shown(self, net: Ready) -> Shown:
        """How pictures are made for it."""
        return Shown(streams_of(self.streams), net.side, self.centre, self.margin)

    def same_weights(self, net: Ready) -> None:
        """Refuse weights that are not those of `fit`."""
        if net.digest != self.digest_:
            raise WeightsError(
                f"{self._source().backbone}: fitted with weights {self.digest_} ({self.weights_}), "
                f"but {self.weights or 'random ones'} are {net.digest}"
            )

    def _check(self) -> None:
        streams_of(self.streams)
        check_runtime(self.runtime)
        for name in ("centre", "batch_size", "cache_mb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}")
        if not 0 <= self.margin <= 5:
            raise ValueError(f"margin is a share of the cell, 0 to 5; got {self.margin}")
        if self.on_error not in ("raise", "nan"):
            raise ValueError(f"on_error is 'raise' or 'nan', not {self.on_error!r}")
        if self.masks not in (None, "given"):
            raise ValueError("masks is None or 'given' in an embedding")

    def _source(self) -> Any:
        return source_of(self.backbone, self.weights, self.layer, self.size, self.random_state)

    def _embedded(
        self, X: Any, on_error: str | None = None
    ) -> tuple[np.ndarray, list[images.ImageError]]:
        """Vectors of the rows, and why there is none for some."""
        check_is_fitted(self, "digest_")
        net = self.ready()
        self.same_weights(net)
        rows = Rows(X)
        out = np.full((len(rows), self.n_features_out_), np.nan, np.float32)
        flow = Flow(net, self.store(net), self.batch_size)
        failures = []
        with _bar(len(rows), self.progress) as done:
            for places, shown in self._pictures(rows, self.shown(net)):
                if isinstance(shown, images.ImageError):
                    if (on_error or self.on_error) == "raise":
                        raise shown
                    failures += [shown] * len(places)
                else:
                    for number, picture in enumerate(shown):
                        part = slice(number * net.width, (number + 1) * net.width)
                        flow.add(picture, [out[place, part] for place in places])
                done(len(places))
            flow.flush()
        flow.cache.trim()
        return out, failures

    def _pictures(
        self, rows: Rows, shown: Shown
    ) -> Iterator[tuple[list[int], list[np.ndarray] | images.ImageError]]:
        """Rows that show the same cell, and its pictures; each image is read once."""
        find = segmenter(self.segmenter) if shown.needs_cells and self.masks is None else None
        for source, name, mask, cells in rows.images(self.masks):
            whole: tuple[Prepared, Any] | images.ImageError
            try:
                pixels = images.read(source)
                found = None
                if shown.needs_cells:
                    found = as_masks(mask) if find is None else find(pixels)
                whole = Prepared(pixels), found
            except images.ImageError as error:
                whole = error
            except MaskError as error:
                whole = images.ImageError(name, f"has no mask: {error}")
            for cell, places in cells.items():
                if isinstance(whole, images.ImageError):
                    yield places, whole
                    continue
                prepared, masks = whole
                if masks is None:
                    yield places, shown.pictures(prepared, None)
                    continue
                kept = which(masks, cell)
                if kept is None:
                    what = "no cell was found" if not masks.n_cells else f"there is no cell {cell}"
                    yield places, images.ImageError(name, f"cannot be embedded: {what} in it")
                    continue
                yield places, shown.pictures(*Prepared(prepared.rgb, masks).window(masks, kept))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


@contextmanager
def _bar(total: int, progress: bool | None) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    hidden = not (sys.stderr.isatty() if progress is None else progress)
    with tqdm(total=total, unit="image", desc="embed", disable=hidden) as bar:
        yield bar.update
