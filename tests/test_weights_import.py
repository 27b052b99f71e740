"""Published checkpoints become weights of the user's own; anything else is refused."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from command import abpn
from styles import style_net

from abpn_cli import weights
from abpn_cli.errors import TargetError, WeightsError
from abpn_cli.weights_import import IMPORTABLE, import_file, torch_tensors


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    monkeypatch.setattr("abpn_cli.weights.user_data_path", lambda *a, **k: tmp_path / "user")
    return tmp_path / "user" / "weights"


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "csrnet.pth"
    torch.save(style_net(9).state_dict(), path)
    return path


def known(path):
    """The table as it would be if the file were the published one."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return [replace(row, sha256=sha256) for row in IMPORTABLE if row.net == "csrnet"]


def test_a_published_checkpoint_becomes_a_style(published, user):
    done = import_file(published, table=known(published))
    assert done.path == user / "csrnet.safetensors"
    assert done.used_by == "`abpn grade --style csrnet` uses it"
    net, header = weights.load(done.path, torch.device("cpu"))
    assert header.net == "csrnet" and weights.check(done.path) == "ok"
    wanted = style_net(9).state_dict()
    assert all((net.state_dict()[name] == wanted[name]).all() for name in wanted)
    assert weights.read_card(done.path)["licence"].startswith("none given")


def test_it_may_be_given_another_name_and_replaces_nothing(published, user):
    assert import_file(published, "raw", known(published)).path == user / "raw.safetensors"
    with pytest.raises(TargetError, match="--name"):
        import_file(published, "raw", known(published))


def test_a_file_that_nobody_knows_is_refused_with_what_would_be_taken(published, tmp_path):
    code, out, err = abpn("weights", "import", published, cwd=tmp_path)
    assert (code, out) == (5, "") and err.count("\n") == 1
    assert "is no checkpoint that abpn knows" in err and "22f905d2a020" in err
    assert not (tmp_path / "user").exists()


def test_a_missing_file_is_one_line(tmp_path):
    code, _, err = abpn("weights", "import", "no.pth", cwd=tmp_path)
    assert code == 5 and "no such file" in err


def test_pickled_code_is_never_run(tmp_path):
    path = tmp_path / "evil.pth"

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path.write_bytes(pickle.dumps({"conv1.weight": Evil()}))
    with pytest.raises(WeightsError, match="cannot be read as a checkpoint"):
        import_file(path, table=known(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_is_told_whatever_torch_makes_of_it(tmp_path, zipped):
    path = tmp_path / "damaged.pth"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=zipped)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(5), 0
    for _ in range(60):
        data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, min(len(data), 400), 3):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            torch_tensors(path)
        except WeightsError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("found", [[1, 2], {"conv1.weight": 3}, {"conv1.weight": torch.ones(2)}])
def test_other_tensors_than_the_networks_are_refused(tmp_path, found, user):
    path = tmp_path / "other.pth"
    torch.save(found, path)
    with pytest.raises(WeightsError, match=r"holds no named|does not hold"):
        import_file(path, table=known(path))
    assert not user.exists()


def test_the_published_hash_is_the_one_of_the_specification():
    (row,) = [row for row in IMPORTABLE if row.net == "csrnet"]
    assert row.sha256 == "22f905d2a0205df4f41d08439350b94b33c8685564f4e53855e6ee593f860747"
