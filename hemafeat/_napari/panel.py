"""The panel *Correct and measure cells*: image by image, find, correct, measure, save."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract, segment
from hemafeat._napari.collection import KEY, Collection, LayerData, Owner, label_layers
from hemafeat._words import plural
from hemafeat.images import read, stem_of
from hemafeat.segment import Masks

PROBLEMS = (ValueError, OSError, ImportError)
"""Errors whose message says what to do; of any other napari shows the traceback."""


def panel() -> Any:
    """Return the panel for the viewer that is in use, a container of magicgui."""
    from napari import current_viewer

    return Panel(current_viewer()).widget


class Panel:
    """Fields and buttons, and what they do.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers are corrected and measured.

    Attributes
    ----------
    widget : magicgui.widgets.Container
        The panel.
    """

    def __init__(self, viewer: Any) -> None:
        from magicgui.widgets import ComboBox, Container, FileEdit, FloatSpinBox, PushButton
        from napari.layers import Image, Labels

        def layers(kind: Any) -> Callable[[Any], list[tuple[str, Any]]]:
            return lambda _: [(one.name, one) for one in viewer.layers if isinstance(one, kind)]

        self._viewer = viewer
        self._collection: Collection | None = None
        # Of the image that is shown: its row, its layers, and their labels as read or saved last.
        self._row = 0
        self._layers: list[Any] = []
        self._kept: dict[Any, np.ndarray] = {}
        self.widget = Container(
            widgets=[
                FileEdit(
                    name="images",
                    mode="d",
                    nullable=True,
                    tooltip="Folder of images, or the folder that hemafeat segment wrote",
                ),
                FileEdit(
                    name="masks",
                    mode="d",
                    nullable=True,
                    tooltip="Folder of masks: read if it holds any, and saved to",
                ),
                PushButton(name="open", text="Open"),
                ComboBox(
                    name="shown",
                    choices=self._choices,
                    nullable=True,
                    tooltip="Which of the images is shown",
                ),
                ComboBox(name="image", label="image layer", choices=layers(Image)),
                ComboBox(name="cells", label="cells layer", choices=layers(Labels), nullable=True),
                ComboBox(
                    name="nuclei", label="nuclei layer", choices=layers(Labels), nullable=True
                ),
                ComboBox(name="method", choices=("contours", "unet", "best")),
                PushButton(name="find", text="Find cells"),
                ComboBox(name="features", choices=("fast", "default", "all")),
                FloatSpinBox(
                    name="um_per_px",
                    label="um per px",
                    max=2,
                    step=1e-6,
                    tooltip="Side of a pixel; 0 if it is not known, then lengths are in px",
                ),
                PushButton(name="measure", text="Measure cells"),
                PushButton(name="save", text="Save masks"),
            ]
        )
        # What is connected below does not keep this object.
        self.widget.panel = self
        self.widget["open"].changed.connect(self._open)
        self.widget["shown"].changed.connect(self._show)
        self.widget["find"].changed.connect(self._find)
        self.widget["measure"].changed.connect(self._measure)
        self.widget["save"].changed.connect(self._save)
        viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in viewer.layers:
            self._adopt(layer)

    # Images

    def _choices(self, _: Any) -> list[tuple[str, int]]:
        if self._collection is None:
            return []
        paths = [os.path.abspath(image) for image in self._collection.images]
        shared = os.path.commonpath([os.path.dirname(path) for path in paths])
        return [(os.path.relpath(path, shared), row) for row, path in enumerate(paths)]

    def _open(self) -> None:
        """Read the list of images, and show the first."""
        folder, masks = self.widget["images"].value, self.widget["masks"].value
        given = masks if masks is not None and masks.is_dir() and any(masks.iterdir()) else None
        if folder is None:
            _tell("warning", "choose a folder of images")
        elif self._is_saved():
            try:
                collection = Collection(folder, given)
            except PROBLEMS as error:
                _tell("error", error)
            else:
                self._replace(collection, 0)

    def _show(self, row: int | None) -> None:
        """Show another image of the list."""
        if self._collection is None or row == self._row:
            return
        if row is None or not (self._is_saved() and self._replace(self._collection, row)):
            self._choose("shown", self._row)

    def _is_saved(self) -> bool:
        """Return whether no label was changed since it was read or saved; say so if one was."""
        changed = [
            layer.name
            for layer, labels in self._kept.items()
            if layer in self._viewer.layers and not np.array_equal(layer.data, labels)
        ]
        if changed:
            _tell(
                "warning",
                f"{' and '.join(changed)} changed: save the masks, or remove the layer, before "
                "another image is shown",
            )
        return not changed

    def _replace(self, collection: Collection, row: int) -> bool:
        """Show an image in place of the layers of the one that is shown."""
        try:
            layers = collection.layers(row)
        except PROBLEMS as error:
            _tell("error", error)
            return False
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._add(layers)
        return True

    def _add(self, layers: list[LayerData]) -> list[Any]:
        from napari.layers import Layer

        return [self._viewer.add_layer(Layer.create(*layer)) for layer in layers]

    def _on_inserted(self, event: Any) -> None:
        self._adopt(event.value)

    def _adopt(self, layer: Any) -> None:
        """Take a layer that hemafeat made, here or by the reader, for one of the image shown."""
        self.widget.reset_choices()
        if KEY not in layer.metadata:
            return
        collection, row, part = layer.metadata[KEY]
        if (collection, row) != (self._collection, self._row) or not self._layers:
            self._collection, self._row = collection, row
            self._layers, self._kept = [], {}
            self.widget["shown"].reset_choices()
            self._choose("shown", None if collection is None else row)
            for name in ("cells", "nuclei"):
                self._choose(name, None)
            if collection is not None:
                scale = collection.table["um_per_px"].iloc[row]
                self.widget["um_per_px"].value = 0 if pd.isna(scale) else scale
        self._layers.append(layer)
        if part in ("cells", "nuclei"):
            self._kept[layer] = layer.data.copy()
            # Lines, so that the stain below is seen.
            layer.contour, layer.opacity = 2, 0.9
        if part in ("image", "cells", "nuclei"):
            self._choose(part, layer)

    def _choose(self, name: str, value: Any) -> None:
        with self.widget[name].changed.blocked():
            self.widget[name].value = value

    # Cells

    def _pixels(self) -> np.ndarray:
        layer = self.widget["image"].value
        if layer is None:
            raise ValueError("choose the layer of an image")
        return read(np.asarray(layer.data))

    def _masks(self) -> Masks:
        """Return the masks in the layers; say so if a number was painted in two places."""
        image, cells, nuclei = (self.widget[name].value for name in ("image", "cells", "nuclei"))
        if cells is None:
            raise ValueError("choose the layer of labels that holds the cells, or find cells first")
        for layer in (cells, nuclei):
            if layer is not None and KEY in layer.metadata and _owner(layer) != _owner(image):
                raise ValueError(f"{layer} belongs to another image than {image}")
        masks = segment.read_masks(
            np.asarray(cells.data),
            None if nuclei is None else np.asarray(nuclei.data),
            kind="labels",
        )
        if torn := in_pieces(masks):
            _tell(
                "warning",
                f"of one number, but in pieces: {', '.join(map(str, torn))}; each cell needs a "
                "number of its own (key m takes the next free one)",
            )
        return masks

    def _find(self) -> None:
        method = self.widget["method"].value

        def find(image: np.ndarray) -> Masks:
            return segment.segmenter(method)(image)

        def show(masks: Masks, shown: Any) -> None:
            # Those of before are hidden, not removed: they may have been corrected.
            for layer in (self.widget["cells"].value, self.widget["nuclei"].value):
                if layer is not None:
                    layer.visible = False
            self._add(label_layers(masks, shown.name, owner=_owner(shown)))
            _tell("info", f"{plural(masks.n_cells, 'cell')} found")

        shown = self.widget["image"].value
        self._work("find", lambda: (self._pixels(),), find, lambda masks: show(masks, shown))

    def _measure(self) -> None:
        features, scale = self.widget["features"].value, self.widget["um_per_px"].value or None
        cells = self.widget["cells"].value

        def given() -> tuple[np.ndarray, Masks]:
            image, masks = self._pixels(), self._masks()
            masks.check_fit(image.shape)
            return image, masks

        def measure(image: np.ndarray, masks: Masks) -> pd.DataFrame:
            return measured(image, masks, features, scale)

        def show(table: pd.DataFrame) -> None:
            cells.features = table
            _tell("info", f"{plural(len(table), 'cell')} measured: see the features of {cells}")

        self._work("measure", given, measure, show)

    def _save(self) -> None:
        shown, folder = self.widget["image"].value, self.widget["masks"].value
        try:
            masks = self._masks()
            masks.check_fit(self._pixels().shape)
            collection, row = _owner(shown)
            if collection is not None:
                place, name = collection.place(row, folder)
            else:
                place = "" if folder is None else str(folder)
                name = f"{stem_of(shown.source.path or shown.name)}.png"
            if not place:
                raise ValueError("choose a folder of masks to save to")
            segment.write_masks(masks, place, name)
        except PROBLEMS as error:
            _tell("error", error)
            return
        for layer in self._kept:
            self._kept[layer] = layer.data.copy()
        _tell("info", f"{plural(masks.n_cells, 'cell')} saved: {Path(place, 'cell', name)}")

    def _work(
        self,
        name: str,
        given: Callable[[], tuple[Any, ...]],
        act: Callable[..., Any],
        show: Callable[[Any], None],
    ) -> None:
        """Let a thread do what a button is for, and show what it returns."""
        from napari.qt.threading import create_worker

        button = self.widget[name]

        def attempt(*arguments: Any) -> tuple[bool, Any]:
            try:
                return True, act(*arguments)
            except PROBLEMS as error:
                # In words, since a worker raises an error that is returned.
                return False, str(error)

        def end(outcome: tuple[bool, Any]) -> None:
            done, result = outcome
            if done:
                show(result)
            else:
                _tell("error", result)

        try:
            arguments = given()
        except PROBLEMS as error:
            _tell("error", error)
            return
        button.enabled = False
        worker = create_worker(attempt, *arguments, _progress={"desc": button.text})
        worker.returned.connect(end)
        worker.finished.connect(lambda: setattr(button, "enabled", True))
        worker.start()


def measured(
    image: np.ndarray, masks: Masks, families: str, um_per_px: float | None
) -> pd.DataFrame:
    """Return the table of the cells of an image, with their numbers in the column ``index``.

    The columns are those of `hemafeat.extract.table`, without the empty ones.
    """
    table = extract.table(
        [image],
        masks=[masks],
        families=families,
        cells="all",
        um_per_px=um_per_px,
        n_jobs=1,
        progress=False,
    )
    problems = list(extract.errors(table)["message"])
    if not len(table):
        raise ValueError("; ".join(problems))
    for problem in problems:
        warnings.warn(problem, UserWarning, stacklevel=2)
    features = extract.feature_columns(table)
    others = [name for name in map(str, table) if name.startswith(("quality__", "where__"))]
    rows = table[["cell", *features, *others]].dropna(axis=1, how="all")
    return rows.assign(index=masks.ids[table["cell"] - 1])


def in_pieces(masks: Masks) -> list[int]:
    """Return the numbers of the cells that do not hang together."""
    from skimage.measure import label

    pieces = label(masks.cell, connectivity=2)
    of_piece = np.zeros(pieces.max() + 1, np.intp)
    of_piece[pieces] = masks.cell
    n_pieces = np.bincount(of_piece[1:], minlength=masks.n_cells + 1)[1:]
    return [int(number) for number in masks.ids[n_pieces > 1]]


def _owner(layer: Any) -> Owner:
    """Return the collection (or None) and the row of the image that a layer belongs to."""
    collection, row, _ = layer.metadata.get(KEY, (None, 0, ""))
    return collection, row


def _tell(kind: str, what: object) -> None:
    from napari.utils import notifications

    getattr(notifications, f"show_{kind}")(str(what))
