"""TensorFlow's checkpoints read without TensorFlow, and the published HiFill become ours."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from photos import SHARED
from tensorflow_writer import write_checkpoint

from abpn_cli import weights, weights_import
from abpn_cli.errors import WeightsError
from abpn_cli.nets.hifill import Hifill, HifillConfig
from abpn_cli.published_hifill import CONFIG, hifill_tensors, published_names
from abpn_cli.tensorflow_checkpoint import read_checkpoint
from abpn_cli.weights_import import IMPORTABLE, import_file

NAMES = SHARED / "golden" / "hifill" / "generator_seeded_weights.json"


def theirs(tensor):
    """A tensor of ours as TensorFlow keeps it: (height, width, in, out)."""
    array = tensor.numpy()
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A HiFill of ours, written as its authors would have, with a critic beside it."""
    torch.manual_seed(7)
    net = Hifill(HifillConfig(**CONFIG))
    arrays = {
        name: np.ascontiguousarray(theirs(tensor))
        for name, tensor in zip(published_names(), net.state_dict().values(), strict=True)
    }
    arrays["discriminator/linear/b"] = np.zeros(1, np.float32)
    files = write_checkpoint(tmp_path_factory.mktemp("published") / "0", arrays)
    return net, files


@pytest.mark.skipif(not NAMES.is_file(), reason="the golden tensors are not here")
def test_names_and_shapes_are_those_of_the_public_code():
    told = json.loads(NAMES.read_text())
    assert list(published_names()) == list(told)
    net = Hifill(HifillConfig(**CONFIG))
    for said, tensor in zip(told.values(), net.state_dict().values(), strict=True):
        assert said["shape"] == list(tensor.shape)


@pytest.mark.parametrize("which", [0, 1])
def test_a_published_checkpoint_becomes_the_network_it_was(published, which):
    net, files = published
    tensors = hifill_tensors(files[which])
    assert list(tensors) == list(net.state_dict())
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensors[name], tensor), name


def test_scalars_and_empty_tensors_are_read(tmp_path):
    arrays = {"a": np.float32(3).reshape(()), "a/b": np.zeros((0, 4), np.float32),
              "b": np.arange(6, dtype=np.float32).reshape(2, 3)}  # fmt: skip
    index, _ = write_checkpoint(tmp_path / "x", arrays, per_block=2)
    found = read_checkpoint(index)
    assert list(found) == ["a", "a/b", "b"]
    for name, array in arrays.items():
        assert np.array_equal(found[name], array) and found[name].shape == array.shape


def test_another_network_is_refused(tmp_path):
    index, _ = write_checkpoint(tmp_path / "0", {"generator/w": np.zeros((3, 3), np.float32)})
    with pytest.raises(WeightsError, match="holds no tensor generator/c_en_down_128_feat/w"):
        hifill_tensors(index)


def test_a_missing_half_is_told(tmp_path):
    index, data = write_checkpoint(tmp_path / "0", {"w": np.zeros(3, np.float32)})
    data.unlink()
    with pytest.raises(WeightsError, match=r"0\.data-00000-of-00001: cannot be read"):
        read_checkpoint(index)


def test_damage_never_gets_further_than_an_error_of_ours(tmp_path):
    arrays = {f"layer{i}/w": np.full((3, i + 1), i, np.float32) for i in range(30)}
    index, data = write_checkpoint(tmp_path / "0", arrays, per_block=7)
    whole = index.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(
            whole[: int(rng.integers(len(whole) + 1))] if rng.random() < 0.3 else whole
        )
        for at in rng.integers(len(broken), size=3) if broken else ():
            broken[at] = int(rng.integers(256))
        index.write_bytes(bytes(broken))
        try:
            read_checkpoint(index)
        except WeightsError as error:
            refused += 1
            assert "damaged or no checkpoint" in str(error)
    assert refused > 200
    index.write_bytes(whole)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="a tensor beyond its file"):
        read_checkpoint(index)


def test_weights_import_knows_a_published_file_by_its_git_blob(published, tmp_path, monkeypatch):
    net, files = published
    monkeypatch.setattr(weights_import, "user_folder", lambda: tmp_path / "own")
    with pytest.raises(WeightsError, match=r"hifill \(.*git blob fcb5a0c63781"):
        import_file(files[1])  # not the authors' numbers
    data = files[1].read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    row = next(row for row in IMPORTABLE if row.name == "hifill")
    done = import_file(files[1], table=[replace(row, git_blob=blob)])
    assert "abpn remove --weights hifill" in done.used_by
    loaded = weights.load(done.path, torch.device("cpu"))
    assert loaded.net.config.order == "bgr"
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], tensor), name
