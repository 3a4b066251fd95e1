"""Read images from archives of arrays."""

from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, extract, images
from hemafeat.images import _npz


def stack(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return smooth random images, which can be compressed."""
    steps = np.random.default_rng(seed).integers(-2, 3, (n, height, width, 3))
    return np.cumsum(steps, axis=2).astype(np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_order_gives_the_image(tmp_path, monkeypatch, save):
    """Blocks are much smaller than the array, so that images extend across their boundaries."""
    monkeypatch.setattr(_npz, "BLOCK", 1000)
    cells = stack(150, 20, 16)
    grey = cells[..., 0]
    path = tmp_path / "cells.npz"
    save(path, train_images=cells, other=np.arange(4), grey_images=grey)
    rng = np.random.default_rng(1)
    for index in [*range(150), *range(149, -1, -1), *rng.integers(0, 150, 100)]:
        name = f"{path}#image=train_images,{index}"
        np.testing.assert_array_equal(images.read(name), cells[index])
    np.testing.assert_array_equal(
        images.read(f"{path}#image=grey_images,9"), np.repeat(grey[9][..., None], 3, axis=2)
    )
    np.testing.assert_array_equal(images.read_labels(f"{path}#image=grey_images,9"), grey[9])
    image = images.read(f"{path}#image=train_images,0")
    assert image.flags.writeable
    assert images.path_of(f"{path}#image=train_images,12") == str(path)


def test_threads_see_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(_npz, "BLOCK", 5000)
    cells = stack(300, 20, 16)
    np.savez_compressed(tmp_path / "cells.npz", a=cells)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(300), 3))
    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda i: images.read(f"{tmp_path / 'cells.npz'}#image=a,{i}"), order)
        )
    assert all((result == cells[i]).all() for result, i in zip(results, order, strict=True))


def test_an_archive_that_changed_is_read_anew(tmp_path):
    path = tmp_path / "cells.npz"
    for seed, n in ((0, 3), (1, 5)):
        cells = stack(n, 8, 8, seed)
        np.savez(path, a=cells)
        np.testing.assert_array_equal(images.read(f"{path}#image=a,2"), cells[2])


def test_memory_stays_small(tmp_path, monkeypatch):
    """The number of blocks in memory is limited."""
    monkeypatch.setattr(_npz, "BLOCK", 1000)
    np.savez_compressed(tmp_path / "cells.npz", a=stack(200, 20, 16))
    for index in range(200):
        images.read(f"{tmp_path / 'cells.npz'}#image=a,{index}")
    member = next(reversed(_npz._archives.values())).member("a")
    assert sum(map(len, member._blocks.values())) <= _npz._KEPT_BLOCKS * 1000
    assert len(member._states) > 150


def test_what_cannot_be_read_says_why(tmp_path):
    path = tmp_path / "cells.npz"
    np.savez(
        path,
        a=stack(3, 8, 8),
        flat=np.arange(3),
        empty=np.zeros((0, 8, 8, 3), np.uint8),
        columns=np.asfortranarray(stack(3, 8, 8)),
        objects=np.array([{}], dtype=object),
    )
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "none.npz").write_bytes(b"")
    for name, words in {
        f"{path}#image=a,3": "names image 3 of 'a', which has images 0 to 2",
        f"{path}#image=b,0": "has no array 'b'; available: a, flat, empty, columns, objects",
        f"{path}#image=flat,0": r"holds no images in the array 'flat' of shape \(3,\)",
        f"{path}#image=empty,0": "holds no images in the array 'empty'",
        f"{path}#image=columns,0": "an array in Fortran order as 'columns'",
        f"{path}#image=objects,0": "holds Python objects as 'objects'",
        f"{tmp_path / 'text.npz'}#image=a,0": r"not an archive of arrays \(\.npz\)",
        f"{tmp_path / 'none.npz'}#image=a,0": r"not an archive of arrays",
        f"{tmp_path / 'absent.npz'}#image=a,0": "does not exist",
        f"{tmp_path}#image=a,0": "cannot be opened",
        "s3://bucket/a.npz#image=a,0": "on another machine",
    }.items():
        with pytest.raises(images.ImageError, match=words):
            images.read(name)
    with pytest.raises(images.ImageError, match="8 x 8 pixels"):
        images.read(f"{path}#image=a,0", max_pixels=63)


def test_damage_is_found(tmp_path):
    path = tmp_path / "cells.npz"
    np.savez_compressed(path, a=stack(50, 20, 16))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("a.npy")
    # The following blocks cannot be decompressed.
    middle = info.header_offset + info.compress_size // 2
    data[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(data)
    # Images after the damage cannot be read.
    with pytest.raises(images.ImageError, match="damaged archive"):
        images.read(f"{path}#image=a,49")


@pytest.mark.slow_without_jit
def test_cells_of_an_archive_with_workers(tmp_path):
    cells = np.full((6, 64, 64, 3), 235, np.uint8)
    y, x = np.mgrid[:64, :64]
    for number in range(6):
        radius = np.hypot(y - 32, x - 32)
        cells[number][radius < 20] = (215, 170, 200)
        cells[number][radius < 10 + number] = (100, 50, 140)
    np.savez_compressed(tmp_path / "cells.npz", train_images=cells)
    names = [f"{tmp_path / 'cells.npz'}#image=train_images,{i}" for i in (*range(6), 9)]
    table = pd.DataFrame({"image": names, "label": ["a"] * 7})
    options = {"families": ["shape"], "cells": "central"}
    result = extract.table(table, n_jobs=1, **options)
    parallel = extract.table(table, n_jobs=2, **options)
    pd.testing.assert_frame_equal(result, parallel)
    assert list(result["image"]) == names[:6]
    assert result["nucleus__shape__area"].is_monotonic_increasing
    assert list(extract.errors(result)["image"]) == names[6:]
    table = extract.table(pd.DataFrame({"image": list(cells), "label": "a"}), n_jobs=1, **options)
    np.testing.assert_array_equal(result["nucleus__shape__area"], table["nucleus__shape__area"])


def test_the_same_image_twice_in_an_archive(tmp_path):
    cells = stack(4, 8, 8)
    cells[3] = cells[1]
    np.savez(tmp_path / "cells.npz", a=cells[:2], b=cells[2:])
    names = [f"{tmp_path / 'cells.npz'}#image={key},{i}" for key in "ab" for i in range(2)]
    table = datasets.as_table(pd.DataFrame({"image": names, "label": ["x", "x", "x", "x"]}))
    assert table["group"].iloc[1] == table["group"].iloc[3]
    assert table["group"].nunique() == 3
