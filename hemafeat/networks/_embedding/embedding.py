"""Embeddings of images as a scikit-learn transformer and as columns of a table."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat import images
from hemafeat._machine import n_workers, progress_bar
from hemafeat._public import public
from hemafeat.extract import Prepared, error_row
from hemafeat.networks._backbones import WeightsError
from hemafeat.networks._embedding.cache import LIMIT_MB, Cache, default_folder
from hemafeat.networks._embedding.names import describe_weights, family_name
from hemafeat.networks._embedding.network import source_of
from hemafeat.networks._embedding.rows import ImageRows, VectorFiller, row_of_cell
from hemafeat.networks._embedding.runtimes import Runner, check_runtime, load_runner
from hemafeat.networks._embedding.streams import StreamPictures, parse_streams
from hemafeat.segment import MaskError, as_masks, find_cells, segmenter


@public
class Embedding(TransformerMixin, BaseEstimator):
    """Read images and compute the values of a layer of a network trained on other images.

    Parameters
    ----------
    backbone : str
        Name of the network: ``"InceptionV3"``, ``"VGG16"``, ``"InceptionResNetV2"``,
        ``"EfficientNetB1"``, ``"MobileNet"``, ``"DenseNet121"``, ``"ResNet50"`` or ``"Xception"``
        of ``keras.applications``; ``"EfficientNetLite0"``; or ``"ResNet18"``, ``"ResNet34"``,
        ``"ResNeXt50"``, ``"ResNeXt101"``, ``"SEResNeXt50"``, ``"VGG16BN"``, ``"AlexNet"``,
        ``"DINOv2S"``, ``"DINOv2B"``, ``"DINOv2L"`` or ``"DINOv2G"``, for files of PyTorch.
    weights : str, path or None
        Weights of the network. ``"imagenet"``: the file of Keras, from its cache
        (``~/.keras/models``) or downloaded; for ``"EfficientNetLite0"`` that of the extra
        ``weights``. A file: ``.h5`` or ``.weights.h5`` of that backbone, with or without its last
        layers; a whole network as ``.keras``; or, for ``"ResNet50"`` and the networks that Keras
        lacks, the file of torchvision (of pretrainedmodels for ``"SEResNeXt50"``, of DINOv2 or
        DinoBloom for ``"DINOv2S"`` and its kind) as ``.pth``, ``.pt``, ``.bin`` or
        ``.safetensors``, which is read without PyTorch. None: random weights drawn from
        `random_state`; `fit` warns about them, and they are named in the columns.
    layer : str, optional
        Name of the layer, such as ``"fc1"`` of VGG16; feature maps are averaged over the image. By
        default it is the last maps (InceptionV3: 2,048 numbers), and of DINOv2 the class token.
    streams : str or list of str
        Pictures that the network sees: ``"rgb"`` (default), ``"hsv"``, ``"od"`` (optical density
        relative to the white of the image), ``"masked"`` or ``"blackened"`` (white or black outside
        the cell), alone for the whole image, with ``_centre`` for the square at its centre, with
        ``_cell`` for the square round the cell. The vectors of several streams are joined.
    size : int, optional
        Side to which pictures are resized, in px. By default the one the backbone was trained on.
    centre : int
        Side of the square at the centre, in px.
    margin : float
        Room on each side of the bounding box of the cell, as a share of its longer side.
    segmenter : str or callable
        Segmenter that finds the cell, as in `extract.table`. It is used only if a stream needs it
        (``"od"`` needs it for the white of the background).
    masks : {None, "given"}
        ``"given"``: use the files in the column ``mask``, not the segmenter.
    batch_size : int
        Number of pictures that are computed together.
    runtime : {"auto", "onnxruntime", "openvino", "opencv", "keras"}
        Library that runs the network. ``"auto"``: the fastest that is installed. They agree within
        1e-4 of the largest number of an image.
    cache : bool or path
        Folder in which vectors are cached. True: in the cache folder of the user or in
        ``HEMAFEAT_CACHE``. False: nowhere.
    cache_mb : int
        Largest size of the cache, in MB; vectors that were used least recently are removed first.
    on_error : {"raise", "nan"}
        Behaviour for an image that cannot be read or has no cell: raise the error, or return NaN
        for the row and warn once.
    n_jobs : int, optional
        Number of threads of the network. By default all processors are used.
    progress : bool, optional
        Show a progress bar. By default it is shown on a terminal.
    random_state : int
        Seed of random weights.

    Attributes
    ----------
    digest_ : str
        Digest of the weights, 16 hexadecimal digits. `transform` refuses other weights.
    weights_ : str
        Description of the weights.
    family_ : str
        Name of the family of the columns; see `EmbeddingName`.
    n_features_out_ : int
        Number of columns.

    Notes
    -----
    Columns are called ``cell__embedding_BACKBONE[_LAYER]_WEIGHTS__0000``, where WEIGHTS is
    ``imagenet``, ``random0`` (with the seed) or ``file`` and eight digits of `digest_`. A stream
    other than ``rgb`` is appended, as in ``__hsv_cell``.

    Only the pictures of one batch are in memory. An image that is repeated is computed once.

    Examples
    --------
    >>> import warnings
    >>> from hemafeat import datasets, networks
    >>> image = datasets.draw_cell("neutrophil", random_state=0).image
    >>> step = networks.Embedding("MobileNet", weights=None, size=32, cache=False)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the weights are random
    ...     step = step.fit()
    >>> step.transform([image]).shape
    (1, 1024)
    >>> print(step.get_feature_names_out()[0])
    cell__embedding_mobilenet_random0_32px__0000
    """

    looks_at = frozenset({"images"})
    """Parts of a table that `evaluate.compare` passes to this step."""
    reads_images = True
    """Former form of `looks_at`."""

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
        """Load the network and check the parameters; nothing is learned from the images.

        Parameters
        ----------
        X, y : object
            Ignored.

        Returns
        -------
        Embedding
            The fitted transformer.

        Raises
        ------
        ImportError
            Keras or the runtime is not installed.
        ValueError
            A parameter has an invalid value.
        WeightsError
            The weights cannot be loaded.

        Warns
        -----
        UserWarning
            The weights are random.
        """
        self._check()
        runner = self.ready()
        self.digest_ = runner.digest
        self.side_, self.width_ = runner.side, runner.width
        self.weights_ = describe_weights(self._source(), runner.digest)
        self.family_ = family_name(self._source(), runner.digest)
        self.n_features_out_ = runner.width * len(parse_streams(self.streams))
        if self.weights is None:
            warnings.warn(f"{self._source().backbone}: {self.weights_}", stacklevel=2)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed the images.

        Parameters
        ----------
        X : DataFrame with a column ``image``, or sequence
            Paths or (H, W, 3) uint8 arrays, one per row. A column ``cell`` (1, 2, ...) selects a
            cell of the image; by default it is the cell at the centre.

        Returns
        -------
        (n_rows, n_features) ndarray of float32
            Embeddings; a DataFrame after ``set_output(transform="pandas")``.

        Raises
        ------
        hemafeat.images.ImageError
            An image cannot be read, or its cell is not found, unless ``on_error="nan"``.
        WeightsError
            The weights differ from those of `fit`.
        """
        values, failures = self._compute(X)
        if failures:
            first = failures[0]
            warnings.warn(
                f"{len(failures)} of {len(values)} rows could not be embedded; the first error "
                f"is {first}",
                stacklevel=2,
            )
        return values

    def join(self, table: pd.DataFrame) -> pd.DataFrame:
        """Append the embeddings of cells to their table.

        Parameters
        ----------
        table : DataFrame
            Result of `extract.table`, with the columns ``image`` and ``cell``.

        Returns
        -------
        DataFrame
            The same rows with further columns. Rows that could not be embedded are NaN, and
            `extract.errors` lists the reasons.

        Raises
        ------
        ValueError
            The table already has columns of these names.
        """
        if not hasattr(self, "digest_"):
            self.fit()
        names = [str(name) for name in self.get_feature_names_out()]
        if existing := set(names) & set(map(str, table.columns)):
            raise ValueError(
                f"the table already has {len(existing)} of the columns: {min(existing)} ..."
            )
        values, failures = self._compute(table, on_error="nan")
        embeddings = pd.DataFrame(values.astype(np.float64), columns=names, index=table.index)
        joined = pd.concat([table, embeddings], axis=1)
        joined.attrs = dict(table.attrs)
        if "units" in joined.attrs:
            joined.attrs["units"] = {**joined.attrs["units"], **dict.fromkeys(names, "1")}
        rows = [error_row(error.image, "embed", error) for error in failures]
        joined.attrs["errors"] = [*joined.attrs.get("errors", []), *rows]
        return joined

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns, (n_features,) ndarray of object."""
        check_is_fitted(self, "family_")
        return np.asarray(
            [f"cell__{self.family_}__{name}" for name in self.feature_names()], dtype=object
        )

    def feature_names(self) -> list[str]:
        """Return the last part of each column name: the number, and streams other than ``rgb``."""
        ends = ["" if s.name == "rgb" else f"__{s.name}" for s in parse_streams(self.streams)]
        return [f"{number:04d}{end}" for end in ends for number in range(self.width_)]

    def ready(self, n_threads: int | None = None) -> Runner:
        """Load the network, once per process.

        Parameters
        ----------
        n_threads : int, optional
            Number of threads. By default `n_jobs`.
        """
        return load_runner(self._source(), self.runtime, n_workers(n_threads or self.n_jobs))

    def check_weights(self) -> None:
        """Load the network, so that an error comes before any image is read.

        Raises
        ------
        ImportError, ValueError, WeightsError
            As in `fit`.
        """
        self._check()
        self.ready()

    def store(self, runner: Runner) -> Cache:
        """Open the cache of the vectors of a network."""
        folder = None
        if self.cache is not False:
            folder = default_folder() if self.cache is True else Path(self.cache)
        network = f"{runner.digest} {self.layer} {runner.runtime}"
        return Cache(folder, runner.width, network, self.cache_mb)

    def shown(self, runner: Runner) -> StreamPictures:
        """Return the maker of the pictures of a network."""
        streams = parse_streams(self.streams)
        return StreamPictures(streams, runner.side, self.centre, self.margin)

    def same_weights(self, runner: Runner) -> None:
        """Raise WeightsError if the weights differ from those of `fit`."""
        if runner.digest != self.digest_:
            raise WeightsError(
                f"{self._source().backbone}: fitted with weights {self.digest_} ({self.weights_}), "
                f"but {self.weights or 'random weights'} have the digest {runner.digest}"
            )

    def _check(self) -> None:
        parse_streams(self.streams)
        check_runtime(self.runtime)
        for name in ("centre", "batch_size", "cache_mb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.margin <= 5:
            raise ValueError(f"margin must be a share from 0 to 5; got {self.margin}")
        if self.on_error not in ("raise", "nan"):
            raise ValueError(f"on_error must be 'raise' or 'nan', not {self.on_error!r}")
        if self.masks not in (None, "given"):
            raise ValueError("masks must be None or 'given' in an embedding")

    def _source(self) -> Any:
        return source_of(self.backbone, self.weights, self.layer, self.size, self.random_state)

    def _compute(
        self, X: Any, on_error: str | None = None
    ) -> tuple[np.ndarray, list[images.ImageError]]:
        """Return the vectors of the rows, and the errors of rows without one."""
        check_is_fitted(self, "digest_")
        runner = self.ready()
        self.same_weights(runner)
        rows, width = ImageRows(X), runner.width
        out = np.full((len(rows), self.n_features_out_), np.nan, np.float32)
        filler = VectorFiller(runner, self.store(runner), self.batch_size)
        failures = []
        with progress_bar(len(rows), "embed", progress=self.progress) as bar:
            for indices, pictures in self._pictures(rows, self.shown(runner)):
                if isinstance(pictures, images.ImageError):
                    if (on_error or self.on_error) == "raise":
                        raise pictures
                    failures += [pictures] * len(indices)
                else:
                    for i, picture in enumerate(pictures):
                        part = slice(i * width, (i + 1) * width)
                        filler.add(picture, [out[index, part] for index in indices])
                bar.update(len(indices))
            filler.flush()
        filler.cache.trim()
        return out, failures

    def _pictures(
        self, rows: ImageRows, maker: StreamPictures
    ) -> Iterator[tuple[list[int], list[np.ndarray] | images.ImageError]]:
        """Iterate over cells: indices of their rows, and pictures. Each image is read once."""
        find = segmenter(self.segmenter) if maker.needs_cells and self.masks is None else None
        for source, name, mask, cells in rows.images(self.masks):
            prepared: Prepared | images.ImageError
            masks = None
            try:
                pixels = images.read(source)
                if maker.needs_cells:
                    masks = (
                        as_masks(mask, shape=pixels.shape)
                        if find is None
                        else find_cells(find, pixels, source)
                    )
                prepared = Prepared(pixels, masks)
            except images.ImageError as error:
                prepared = error
            except MaskError as error:
                prepared = images.ImageError(name, f"has no mask: {error}")
            for cell, indices in cells.items():
                if isinstance(prepared, images.ImageError):
                    yield indices, prepared
                    continue
                if masks is None:
                    yield indices, maker.make(prepared, None)
                    continue
                row = row_of_cell(masks, cell)
                if row is None:
                    reason = f"there is no cell {cell}" if masks.n_cells else "no cell was found"
                    yield indices, images.ImageError(name, f"cannot be embedded: {reason} in it")
                    continue
                yield indices, maker.make(*prepared.window(masks, row))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags
