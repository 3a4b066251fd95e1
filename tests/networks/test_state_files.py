"""State files of PyTorch and safetensors are read without running what they name."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from hemafeat import _archives
from hemafeat.networks._weights import pickled as machine
from hemafeat.networks._weights.state_file import read_state
from support import state_files
from support.state_files import Called, Named, Outside, legacy, safetensors, tensor, zipped

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "half": np.array([0.5, -2.0], np.float16),
    "count": np.array(7, np.int64),
}
WRITERS = {"new.pth": zipped, "old.pt": legacy, "safe.safetensors": safetensors}


def written(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("name", WRITERS)
def test_arrays_come_back_as_float32(tmp_path, name):
    state = read_state(written(tmp_path, name, WRITERS[name](ARRAYS)))
    assert list(state) == list(ARRAYS)
    for key, array in ARRAYS.items():
        assert state[key].shape == array.shape
        found = state[key].read()
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, array)


def test_steps_and_shared_numbers_are_followed(tmp_path):
    whole = np.arange(12, dtype=np.float32)
    storage = Outside(("storage", Named("torch", "FloatStorage"), "0", "cpu", 12))
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    empty = Called(Named("collections", "OrderedDict"), ())
    turned = Called(rebuild, (storage, 0, (4, 3), (1, 4), False, empty))
    part = Called(rebuild, (storage, 5, (2,), (3,), False, empty))
    parameter = Called(Named("torch._utils", "_rebuild_parameter"), (part, True, empty))
    root = {"epoch": 3, "state_dict": {"turned": turned, "part": parameter}}
    for name, write in (("a.pth", zipped), ("b.pth", legacy)):
        state = read_state(written(tmp_path, name, write({"whole": whole}, root)))
        np.testing.assert_array_equal(state["turned"].read(), whole.reshape(3, 4).T)
        np.testing.assert_array_equal(state["part"].read(), [5, 8])


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = np.array([1.5, -3.0, 0.0078125], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2")
    header = b'{"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}'
    data = struct.pack("<Q", len(header)) + header + upper.tobytes()
    state = read_state(written(tmp_path, "x.safetensors", data))
    np.testing.assert_array_equal(state["x"].read(), values)


class Attack:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("make", [zipped, legacy])
def test_nothing_that_a_pickle_names_is_called(tmp_path, monkeypatch, make, protocol):
    import os

    mark = tmp_path / "mark"
    attack = pickle.dumps({"x": Attack(os.system, f"touch {mark}")}, protocol=protocol)
    monkeypatch.setattr(state_files, "pickled", lambda value: attack)
    with pytest.raises(ValueError, match=r"x\.pth: (refused|not a state file)") as caught:
        read_state(written(tmp_path, "x.pth", make(ARRAYS)))
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (Called(Named("os", "system"), ("true",)), "names os.system"),
        (Called(Named("builtins", "eval"), ("1",)), r"names builtins\.eval"),
        (Named("torch.nn.modules.linear", "Linear"), "torch.save"),
        ({"x": Called(Named("torch", "FloatStorage"), (3,))}, "calls torch.FloatStorage"),
        ({"x": Called(Named("torch._utils", "_rebuild_tensor_v2"), (1, 2))}, "damaged"),
        ({"x": tensor("0", ARRAYS["half"], size=10**12)}, "missing or of another length"),
        ({"x": tensor("../../passwd", ARRAYS["half"])}, "missing or of another length"),
        ({"x": tensor("9", ARRAYS["half"])}, "missing or of another length"),
        ({"x": tensor("1", ARRAYS["half"], steps=(10**9,))}, "does not fit its 2 numbers"),
        ({"x": tensor("1", np.zeros((10**6,), np.float16), size=2, steps=(0,))}, "does not fit"),
        ({"x": Outside(("storage", Named("torch", "FloatStorage"), "0", "cpu", -4))}, "unknown"),
        ({"x": Outside(("file", "/etc/passwd"))}, "unknown kind"),
        ({"x": 3}, "no dict of tensors"),
        ([1, 2], "no dict of tensors"),
    ],
)
def test_hostile_and_odd_pickles_are_one_error(tmp_path, root, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_state(written(tmp_path, "x.pth", zipped(ARRAYS, root)))
    assert str(caught.value).startswith(str(tmp_path / "x.pth"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, name):
    data = WRITERS[name](ARRAYS)
    for length in {*range(0, len(data), 37), len(data) - 1}:
        path = written(tmp_path, name, data[:length])
        with pytest.raises(ValueError, match=name):
            read_state(path)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_with_any_byte_changed_is_read_or_refused(tmp_path, name):
    """Only ValueError is raised, and arrays have the shapes they say."""
    data = bytearray(WRITERS[name]({"a": ARRAYS["half"], "b": ARRAYS["count"]}))
    rng = np.random.default_rng(0)
    for at in range(0, len(data), 3):
        old, data[at] = data[at], int(rng.integers(256))
        try:
            for array in read_state(written(tmp_path, name, bytes(data))).values():
                assert array.read().shape == array.shape
        except ValueError:
            pass
        data[at] = old


def test_sizes_are_bounded(tmp_path, monkeypatch):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("archive/data.pkl", b"\0" * 2**27)
    with pytest.raises(ValueError, match="inflate"):
        read_state(written(tmp_path, "bomb.pth", stream.getvalue()))
    header = struct.pack("<Q", 2**60) + b"{}"
    with pytest.raises(ValueError, match="cut"):
        read_state(written(tmp_path, "x.safetensors", header))
    monkeypatch.setattr(_archives, "MAX_STEPS", 1000)
    deep = pickle.dumps(None, protocol=2)[:2] + b")" + b"\x85" * 5000 + b"."
    monkeypatch.setattr(state_files, "pickled", lambda value: deep)
    for name, write in (("deep.pth", zipped), ("deep.pt", legacy)):
        with pytest.raises(ValueError, match="more than 1,000 instructions"):
            read_state(written(tmp_path, name, write(ARRAYS)))
    monkeypatch.undo()
    monkeypatch.setattr("hemafeat.networks._weights.state_file.MAX_PICKLE", 100)
    with pytest.raises(ValueError, match="too long"):
        read_state(written(tmp_path, "long.pth", zipped(ARRAYS)))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "does not fit"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}, "does not fit"),
        ({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}, "does not fit"),
        ({"dtype": "F8", "shape": [2], "data_offsets": [0, 2]}, "damaged"),
        ({"dtype": "F32", "shape": None, "data_offsets": [0, 4]}, "damaged"),
        (3, "damaged"),
    ],
)
def test_a_wrong_header_of_safetensors_is_named(tmp_path, entry, reason):
    import json

    text = json.dumps({"x": entry}).encode()
    path = written(tmp_path, "x.safetensors", struct.pack("<Q", len(text)) + text + b"1234")
    with pytest.raises(ValueError, match=reason):
        read_state(path)


def test_other_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_state(tmp_path / "absent.pth")
    for name, data in (
        ("text.pth", b"no weights"),
        ("empty.pt", b""),
        ("p.pth", b"\x80\x02K\x01."),
    ):
        with pytest.raises(ValueError, match=name):
            read_state(written(tmp_path, name, data))


def test_the_machine_knows_no_more_than_it_needs():
    """Names that are accepted are compared with text; none is imported."""
    import ast
    from pathlib import Path

    files = [Path(module.__file__) for module in (machine, _archives)]
    tree = ast.parse("\n".join(file.read_text("utf-8").split("annotations\n")[1] for file in files))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names}  # fmt: skip
    assert imported == {"io", "pickletools", "zipfile", "numpy"}
    called = {node.func.id for node in ast.walk(tree)
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert not called & {"eval", "exec", "getattr", "__import__", "compile", "open"}
