"""Files of networks that contain code or name foreign classes are refused before code runs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from hemafeat import networks, pipelines

pytestmark = pytest.mark.networks

MODULE = "module_of_somebody"


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


@pytest.fixture(scope="module")
def sound(keras, tmp_path_factory):
    """Save a small network with a layer of this package, an operation and a function of Keras."""
    from hemafeat.networks._layers import ScaledImage

    image = keras.Input((8, 8, 3))
    x = keras.ops.mean(ScaledImage("signed")(image), axis=(1, 2))
    x = keras.layers.Dense(4, activation=keras.activations.gelu, name="dense")(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", name="verdict")(x))
    path = tmp_path_factory.mktemp("sound") / "sound.keras"
    model.save(path)
    return path, model


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """Make a module that writes a file when it is imported."""
    left = tmp_path / "imported"
    (tmp_path / f"{MODULE}.py").write_text(
        f"open({str(left)!r}, 'w').close()\nclass Layer: ...\ndef act(x): return x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield left
    sys.modules.pop(MODULE, None)


def changed(source, to, change):
    """Copy a file with a changed config."""
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(to, "w") as box:
        for name in given.namelist():
            data = given.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            box.writestr(name, data)
    return to


def layer_named(config, name):
    return next(one for one in config["config"]["layers"] if one["config"]["name"] == name)


def test_a_sound_file_is_read_again(keras, sound, tmp_path):
    path, model = sound
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(model(images))
    for one in (path, changed(path, tmp_path / "same.keras", lambda config: None)):
        found = keras.ops.convert_to_numpy(networks.load_network(one)(images))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_how_it_was_trained_is_neither_built_nor_in_the_way(keras, tmp_path):
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(2)(image))
    model.compile("sgd", lambda true, found: keras.ops.sum(found), jit_compile=False)
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 2)))
    model.save(tmp_path / "trained.keras")
    found = networks.load_network(tmp_path / "trained.keras")
    assert not found.compiled
    for one, other in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_of_ours_are_known_from_a_file(keras, sound, tmp_path):
    """Load networks in a process that has not imported the layers."""
    bags = networks.mil_model(3, 1, "batch_weighted")
    assert any(type(layer).__name__ == "CellNormalisation" for layer in bags.layers)
    bags.save(tmp_path / "bags.keras")
    code = """
import sys
from hemafeat import networks
for path in sys.argv[1:]:
    networks.load_network(path)
"""
    files = [str(sound[0]), str(tmp_path / "bags.keras")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)


FUNCTION = {"class_name": "function", "config": "act", "registered_name": "act"}


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"module": MODULE, "class_name": "Layer", "registered_name": None}, f"{MODULE}.Layer"),
        ({"module": None, "class_name": "Layer", "registered_name": "Layer"}, "Layer"),
        ({"registered_name": "Custom>Layer"}, r"keras.layers.Dense \(Custom>Layer\)"),
        ({"module": "hemafeat.networks._layers", "class_name": "Evil",
          "registered_name": "other>Evil"}, r"hemafeat.networks._layers.Evil \(other>Evil\)"),
        ({"module": "hemafeat.networksx", "class_name": "Layer",
          "registered_name": "hemafeat>Layer"}, r"hemafeat.networksx.Layer \(hemafeat>Layer\)"),
        ({"module": "kerasx.layers"}, "kerasx.layers.Dense"),
        ({"class_name": "Lambda"}, "keras.layers.Lambda"),
        ({"class_name": "TFSMLayer"}, "keras.layers.TFSMLayer"),
        ({"class_name": "JaxLayer"}, "keras.layers.JaxLayer"),
        ({"class_name": "StringLookup"}, "keras.layers.StringLookup"),
        ({"class_name": "TextVectorization"}, "keras.layers.TextVectorization"),
        ({"class_name": "Pipeline"}, "keras.layers.Pipeline"),
        ({"module": "keras.utils", "class_name": "get_file"}, "keras.utils.get_file"),
        ({"module": "keras.saving", "class_name": "load_model"}, "keras.saving.load_model"),
        ({"module": "keras.config", "class_name": "enable_unsafe_deserialization"},
         "keras.config.enable_unsafe_deserialization"),
        ({"module": "keras.src.utils.file_utils", "class_name": "get_file"},
         "keras.src.utils.file_utils.get_file"),
        ({"module": "keras.src.ops.numpy", "class_name": "np"}, "keras.src.ops.numpy.np"),
        ({"module": "keras.src.ops.core", "class_name": "Map"}, "keras.src.ops.core.Map"),
        ({"module": "keras.callbacks", "class_name": "LambdaCallback"},
         "keras.callbacks.LambdaCallback"),
        ({"module": ["keras.layers"]}, r".*Dense"),
    ],
)  # fmt: skip
def test_a_class_of_somebody_is_refused(keras, sound, trap, tmp_path, entry, named):
    made = changed(
        sound[0], tmp_path / "made.keras", lambda c: layer_named(c, "dense").update(entry)
    )
    with pytest.raises(ValueError, match=rf"made\.keras: refused, it names {named}: "):
        networks.load_network(made)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({**FUNCTION, "module": MODULE}, f"{MODULE}.act"),
        ({**FUNCTION, "module": "keras.utils", "config": "get_file",
          "registered_name": "get_file"}, "keras.utils.get_file"),
        ({**FUNCTION, "module": "builtins", "registered_name": "other>act"},
         r"builtins.act \(other>act\)"),
        ({"class_name": "__lambda__", "config": {"value": "4wEA"}}, "__lambda__"),
        ({**FUNCTION, "module": "builtins", "config": "eval", "registered_name": "eval"},
         "builtins.eval"),
        ({**FUNCTION, "module": "keras.activations", "config": "deserialize",
          "registered_name": "deserialize"}, "keras.activations.deserialize"),
        ({**FUNCTION, "module": "keras.config", "config": "enable_unsafe_deserialization",
          "registered_name": None}, "keras.config.enable_unsafe_deserialization"),
    ],
)  # fmt: skip
def test_a_function_of_somebody_is_refused(keras, sound, trap, tmp_path, entry, named):
    def change(config):
        layer_named(config, "dense")["config"]["activation"] = entry

    made = changed(sound[0], tmp_path / "made.keras", change)
    with pytest.raises(ValueError, match=rf"made\.keras: refused, it names {named}: "):
        networks.load_network(made)
    assert not trap.exists()


def test_code_is_refused_where_keras_would_run_it(keras, tmp_path):
    """A global switch of Keras overrides the argument of a call."""
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(tmp_path / "code.keras")
    before = keras.src.saving.serialization_lib.in_safe_mode()
    keras.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(ValueError, match=r"code\.keras: refused, it names keras\.layers\.Lam"):
            networks.load_network(tmp_path / "code.keras")
    finally:
        keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", before)


@pytest.mark.parametrize("how", ["text", "empty", "cut"])
def test_what_is_no_network_is_named(keras, sound, tmp_path, how):
    path = tmp_path / "broken.keras"
    whole = sound[0].read_bytes()
    path.write_bytes({"text": b"no network", "empty": b"", "cut": whole[: len(whole) // 2]}[how])
    with pytest.raises(ValueError, match=r"broken\.keras: not a \.keras file"):
        networks.load_network(path)


def rewritten(source, to, change):
    """Copy a file whose weights are changed by a function of the open HDF5 file."""
    import h5py

    with zipfile.ZipFile(source) as given, zipfile.ZipFile(to, "w") as box:
        for name in given.namelist():
            data = given.read(name)
            if name.endswith(".h5"):
                weights = to.with_suffix(".h5")
                weights.write_bytes(data)
                with h5py.File(weights, "r+") as file:
                    change(h5py, file)
                data = weights.read_bytes()
            box.writestr(name, data)
    return to


def first_data(h5py, file):
    names = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
    return names[0]


def link_elsewhere(h5py, file):
    name = first_data(h5py, file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "/kernel")


def link_softly(h5py, file):
    name = first_data(h5py, file)
    file.move(name, "moved")
    file[name] = h5py.SoftLink("/moved")


def store_elsewhere(h5py, file):
    name = first_data(h5py, file)
    shape = file[name].shape
    del file[name]
    size = 4 * int(np.prod(shape))
    file.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, size)])


def map_elsewhere(h5py, file):
    name = first_data(h5py, file)
    layout = h5py.VirtualLayout(file[name].shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "kernel", file[name].shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def inflate(h5py, file):
    file.create_dataset("zeros", (2**28,), "f4", chunks=(2**20,), compression="gzip")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (link_elsewhere, "is a link"),
        (link_softly, "is a link"),
        (store_elsewhere, "lies in another file"),
        (map_elsewhere, "lies in another file"),
        (inflate, "would inflate to 1024 MiB"),
    ],
)
def test_weights_lie_in_their_file(keras, sound, tmp_path, change, reason):
    made = rewritten(sound[0], tmp_path / "made.keras", change)
    with pytest.raises(ValueError, match=rf"made\.keras: refused, its weights .*{reason}"):
        networks.load_network(made)


def test_a_bomb_is_not_inflated(keras, sound, tmp_path):
    with zipfile.ZipFile(sound[0]) as given, zipfile.ZipFile(tmp_path / "b.keras", "w") as box:
        for name in given.namelist():
            data = bytes(2**28) if name == "config.json" else given.read(name)
            box.writestr(name, data, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"b\.keras: not a \.keras file.*inflate to 256 MiB"):
        networks.load_network(tmp_path / "b.keras")


def test_a_model_file_with_such_a_network_is_refused(keras, sound, trap, tmp_path):
    """Model files contain the network as bytes, which are checked in the same way."""
    made = changed(
        sound[0],
        tmp_path / "made.keras",
        lambda c: layer_named(c, "dense").update(module=MODULE, class_name="Layer"),
    )

    class Passed:
        """Stands in the model for a network, and is saved as the bytes of the file made above."""

        input_shape = (None, 8, 8, 3)

        def save(self, path):
            path.write_bytes(made.read_bytes())

    model = pipelines.NetworkClassifier("lenet5")
    model.network_, model.classes_ = Passed(), np.array(["a", "b"])
    model.history_ = pd.DataFrame({"loss": [1.0]}).rename_axis("epoch")
    saved = pipelines.save(model, tmp_path / "model.hemafeat")
    with pytest.raises(pipelines.ModelError, match=rf"model\.hemafeat.*refused.*{MODULE}\.Layer"):
        pipelines.load(saved)
    assert not trap.exists()
