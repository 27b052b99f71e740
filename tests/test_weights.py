"""Checkpoints: found, checked, loaded and saved, each fault named with its remedy."""

import json
from dataclasses import asdict

import pytest
import torch

from abpn_cli import weights
from abpn_cli.errors import TargetError, WeightsError
from abpn_cli.nets.abpn import Abpn, AbpnConfig

CONFIG = AbpnConfig(width=1 / 32, refine_shared=True, lrl_residual=True, init="published")
HEADER = weights.Header("abpn", asdict(CONFIG), "cloth")
CPU = torch.device("cpu")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cloth.safetensors"
    weights.save(path, Abpn(CONFIG), HEADER)
    return path


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    monkeypatch.setattr(weights, "user_folder", lambda: folder)
    folder.mkdir()
    return folder


def test_a_saved_network_comes_back_with_its_configuration(file):
    net = Abpn(CONFIG).eval()
    weights.save(file, net, HEADER)
    loaded, header = weights.load(file, CPU)
    assert header.config == asdict(CONFIG)
    assert not loaded.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_half_storage_is_half_the_size_and_loads_as_float32(tmp_path, file):
    half = tmp_path / "half.safetensors"
    net = Abpn(CONFIG)
    weights.save(half, net, HEADER, half=True)
    assert half.stat().st_size < 0.6 * file.stat().st_size
    loaded = weights.load(half, CPU).net
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.j, net.j.half().float())


def test_saving_twice_gives_the_same_bytes(tmp_path):
    net = Abpn(CONFIG)
    first = weights.save(tmp_path / "a.safetensors", net, HEADER)
    assert weights.save(tmp_path / "b.safetensors", net, HEADER) == first


def test_a_flipped_bit_is_found(file):
    data = bytearray(file.read_bytes())
    data[-50] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged: its tensors differ from its checksum"):
        weights.load(file, CPU)
    assert weights.check(file) == "damaged"


def test_a_truncated_file_is_found(file):
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"cloth\.safetensors: damaged"):
        weights.load(file, CPU)


def test_a_file_that_differs_from_its_card_is_refused(file):
    weights.write_card(file, {"task": "cloth"})
    assert weights.check(file) == "ok"
    weights.save(file, Abpn(CONFIG), HEADER)
    with pytest.raises(WeightsError, match="differs from the checksum on its card"):
        weights.load(file, CPU)


def test_text_under_the_name_of_weights_is_refused(tmp_path):
    path = tmp_path / "cloth.safetensors"
    path.write_text("not weights at all")
    with pytest.raises(WeightsError, match="damaged or no weights file"):
        weights.load(path, CPU)


def test_missing_weights_name_the_file_and_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors: cannot be read .*Fetch the file"):
        weights.load(tmp_path / "gone.safetensors", CPU)


def test_another_network_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    weights.save(path, Abpn(CONFIG), weights.Header("csrnet2", {}, "grade"))
    with pytest.raises(WeightsError, match="holds a 'csrnet2' network; this abpn knows abpn"):
        weights.load(path, CPU)


def test_a_configuration_of_a_later_abpn_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    later = asdict(CONFIG) | {"attention": True}
    weights.save(path, Abpn(CONFIG), weights.Header("abpn", later, "cloth"))
    with pytest.raises(WeightsError, match="configuration this abpn does not know"):
        weights.load(path, CPU)


@pytest.mark.parametrize("changes", [{"gate_low": 0.5}, {"width": 0}, {"gate_high": "x"}])
def test_a_configuration_that_makes_no_sense_is_refused(tmp_path, changes):
    path = tmp_path / "x.safetensors"
    odd = weights.Header("abpn", asdict(CONFIG) | changes, "cloth")
    weights.save(path, Abpn(CONFIG), odd)
    with pytest.raises(WeightsError, match="configuration this abpn does not know"):
        weights.load(path, CPU)


def test_tensors_that_do_not_fit_the_configuration_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    wider = asdict(CONFIG) | {"width": 1 / 16}
    weights.save(path, Abpn(CONFIG), weights.Header("abpn", wider, "cloth"))
    with pytest.raises(WeightsError, match="do not fit its own configuration"):
        weights.load(path, CPU)


def test_an_unknown_task_names_those_there_are(own_folder):
    weights.save(own_folder / "mystyle.safetensors", Abpn(CONFIG), HEADER)
    with pytest.raises(WeightsError, match=r"velvet: no weights .*Tasks found: .*mystyle"):
        weights.find("velvet")


def test_a_file_in_the_users_folder_is_a_task(own_folder):
    path = own_folder / "mystyle.safetensors"
    weights.save(path, Abpn(CONFIG), HEADER)
    assert weights.find("mystyle") == path
    rows = {row.task: row for row in weights.listed()}
    assert rows["mystyle"].state == "no card"
    weights.write_card(path, {"licence": "ours"})
    rows = {row.task: row for row in weights.listed()}
    assert rows["mystyle"].state == "ok"
    assert rows["mystyle"].card["licence"] == "ours"


def test_a_save_that_fails_leaves_the_old_file(file, monkeypatch):
    before = file.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(TargetError, match="the disk is full"):
        weights.save(file, Abpn(CONFIG), HEADER)
    assert file.read_bytes() == before


def test_the_card_holds_the_sha256_of_the_file(file):
    weights.write_card(file, {"task": "cloth"})
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["sha256"] == weights.hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.weights
@pytest.mark.parametrize("task", ["cloth", "face"])
def test_the_shipped_weights_are_whole_small_and_start_from_untouched(task):
    path = weights.folders()[-1] / f"{task}.safetensors"
    if not path.exists():
        pytest.skip("no shipped weights here")
    assert weights.check(path) == "ok"
    assert path.stat().st_size <= 25_000_000
    net = weights.load(path, CPU).net
    assert net.k.tolist() == [0.0, 1.0, 0.0]
    assert net.config.refine_shared
    card = weights.read_card(path)
    wanted = {"data", "licence", "config", "metrics", "command", "sha256", "date"}
    assert wanted <= set(card)
    assert len(card["known failures"]) > 2


def test_a_file_written_over_in_place_leaves_what_was_loaded_from_it(file):
    loaded = weights.load(file, CPU).net.state_dict()
    kept = {name: tensor.clone() for name, tensor in loaded.items()}
    with file.open("r+b") as same:  # the same file, not another under its name
        same.write(bytes(file.stat().st_size))
    for name, tensor in loaded.items():
        assert torch.equal(tensor, kept[name]), name
