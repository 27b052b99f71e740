"""A studio's own style: learnt from its pairs, on top of weights that are there, ready by name."""

import json
from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from command import abpn
from garments import cloth_photo, write_pairs

from abpn_cli import weights
from abpn_cli.commands.train_data import idle_photos
from abpn_cli.errors import TargetError
from abpn_cli.nets.abpn import Abpn, AbpnConfig
from abpn_cli.training import data, session
from abpn_cli.training.losses import LossWeights
from abpn_cli.training.pairs import StudioPairs, match_pairs
from abpn_cli.training.validate import Scores, score

CPU = torch.device("cpu")
CONFIG = replace(
    session.PRESETS["shipped"], width=1 / 32, gate_low=0.35, gate_high=0.65, gate_peak=0.2
)
STYLE = ("train", "--pairs", "before", "after", "--device", "cpu", "--workers", 0, "--batch", 1)
TINY = (*STYLE, "--steps", 2, "--every", 1)
MYSTYLE = (*TINY, "--from", "base.safetensors", "--task", "mystyle", "--out", "run")
MYSTYLE += ("--nothing", "idle")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with four pairs, lighter after than before, and weights to start from."""
    root = tmp_path_factory.mktemp("studio")
    write_pairs(root, 4, (280, 300))
    (root / "idle").mkdir()
    for index in range(3):
        cv2.imwrite(str(root / "idle" / f"{index}.png"), cloth_photo(20 + index, (280, 300)))
    (root / "idle" / "short.png").write_bytes((root / "idle" / "0.png").read_bytes()[:3000])
    torch.manual_seed(5)
    net = Abpn(CONFIG).eval()
    torch.nn.init.normal_(net.lrl.retouch_branch.painter.feature.weight, std=0.02)
    weights.save(root / "base.safetensors", net, weights.Header("abpn", vars(CONFIG), "cloth"))
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The user's folder of weights, in a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setattr("abpn_cli.weights.user_data_path", lambda *_, **__: home)
        yield home / "weights"


@pytest.fixture(scope="module")
def run(studio, home):
    """A finished run: (what it told, its card)."""
    code, _, told = abpn(*map(str, MYSTYLE), cwd=studio)
    assert code == 0, told
    return told, json.loads((studio / "run" / "mystyle.json").read_text())


def refused(*words, cwd):
    code, _, told = abpn(*map(str, (*TINY, *words)), cwd=cwd)
    assert code == 2
    assert not (cwd / "never").exists()
    return " ".join(told.split())


def test_make_and_gate_are_those_of_the_weights_to_go_on_from(run):
    assert run[1]["config"] == vars(CONFIG) | {"gate_peak": session.STYLE_PEAKS[0]}


def test_a_run_from_weights_has_the_manners_of_the_shipped_ones_at_a_lower_rate(run):
    found = run[1]["settings"]
    assert found["rate"] == 2e-4
    assert (found["warm_up"], found["average"], found["drop_at"]) == (50, 0.99, 0.75)
    assert found["painter_share"] == 0.15
    assert (found["weights"]["mse"], found["weights"]["adversarial"]) == (1000, 0)


def test_the_paper_preset_trains_as_published():
    config, manner, base = session.make_of(None, "paper", None, "cloth")
    published = LossWeights()
    assert (manner.mse, manner.adversarial) == (published.mse, published.adversarial)
    assert (manner.rate, manner.painter_share, manner.drop_at) == (5e-4, 1, 0.5)
    assert (manner.warm_up, manner.average, manner.gate) == (0, 0, (0.1, 0.3))
    assert not config.lrl_residual
    assert base is None


def test_without_a_word_of_the_make_a_run_starts_as_shipped():
    config, manner, _ = session.make_of(None, None, None, "cloth")
    assert config == replace(session.PRESETS["shipped"], width=0.5)
    assert (manner.rate, manner.gate) == (5e-4, (0.4, 0.6))


def test_what_an_option_says_goes_before_file_and_preset(studio, home, run):
    words = ("--from", "base.safetensors", "--task", "other", "--out", "other", "--no-install")
    words += (
        "--gate",
        0.5,
        0.8,
        "--gate-peak",
        0.7,
        "--rate",
        1e-4,
        "--mse-weight",
        7,
        "--warm-up",
        0,
    )
    words += ("--width", CONFIG.width, "--preset", "shipped")
    code, _, told = abpn(*map(str, (*TINY, *words)), cwd=studio)
    assert code == 0, told
    card = json.loads((studio / "other" / "other.json").read_text())
    gate = [card["config"][f"gate_{name}"] for name in ("low", "high", "peak")]
    assert gate == [0.5, 0.8, 0.7]
    assert (card["settings"]["rate"], card["settings"]["warm_up"]) == (1e-4, 0)
    assert card["settings"]["weights"]["mse"] == 7
    assert [path.name for path in sorted(home.iterdir())] == [
        "mystyle.json", "mystyle.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--width", 0.5), "--width 0.5 contradicts --from base.safetensors, which has 0.03125"),
        (("--preset", "paper"), "--preset paper contradicts --from base.safetensors, which has"),
    ],
)
def test_a_make_that_contradicts_the_weights_is_refused(studio, words, told):
    words = (*words, "--from", "base.safetensors", "--task", "mine", "--out", "never")
    assert told in refused(*words, cwd=studio)


@pytest.mark.parametrize("words", [(), ("--task", "cloth"), ("--task", "Cloth")])
def test_a_style_never_takes_the_name_of_a_task_that_is_there(studio, home, words):
    told = refused(*words, "--out", "never", cwd=studio)
    assert "is a task of abpn's own. Choose another name, or --no-install." in told


def test_a_name_with_a_comma_would_be_two_tasks(studio):
    told = refused("--task", "a,b", "--out", "never", cwd=studio)
    assert "cannot name a file" in told


def test_the_run_tells_and_keeps_what_it_gains_over_the_weights_before(studio, run):
    told, card = run
    pairs = match_pairs(studio / "before", studio / "after")
    idle = sorted((studio / "idle").glob("?.png"))
    batches = data.studio_data(pairs, (1, 2, 3), 1, 0, idle).validation()
    base = score(session.start_from(studio / "base.safetensors"), batches)
    own = Scores(**card["metrics"])
    assert Scores(**card["base"]["metrics"]) == pytest.approx(base, abs=1e-4)
    gain = card["base"]["gain"]
    assert gain["inside"] == pytest.approx(own.in_gain - base.in_gain, abs=1e-4)
    assert gain["outside"] == pytest.approx(own.out_gain - base.out_gain, abs=1e-4)
    assert gain["harm"] == pytest.approx(own.harm - base.harm, abs=1e-4)
    assert "validation at 0:" in told
    assert f"over photos untouched: {own.in_gain:+.2f} dB inside" in told
    assert f"over base.safetensors: {gain['inside']:+.2f} dB inside" in told


def test_few_pairs_are_told(run):
    assert "warning: 4 pairs; a style wants 50 and more" in run[0]


def test_where_there_is_no_pair_that_alone_is_told(tmp_path):
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    words = map(str, (*TINY, "--task", " mine ", "--out", "run"))
    code, out, err = abpn(*words, cwd=tmp_path)
    assert (code, out) == (4, "")
    assert "warning" not in err
    assert err.splitlines()[-1].startswith("abpn: No pair of photos to train on.")


def test_the_style_is_a_task_at_once(studio, home, run):
    assert f"installed: {home / 'mystyle.safetensors'}" in run[0]
    assert weights.find("mystyle") == home / "mystyle.safetensors"
    assert weights.check(home / "mystyle.safetensors") == "ok"
    code, _, told = abpn(
        "retouch", "before/0.png", "--out", "done", "--task", "mystyle", "--device", "cpu",
        cwd=studio,
    )  # fmt: skip
    assert code == 0, told
    assert (studio / "done" / "0.png").exists()


def test_the_same_command_goes_on_and_ends_with_the_same_weights(studio, home, run):
    before = (home / "mystyle.safetensors").read_bytes()
    (studio / "run" / "mystyle.safetensors").unlink()
    code, _, told = abpn(*map(str, MYSTYLE), cwd=studio)
    assert code == 0, told
    assert "step 2/2" not in told
    assert (home / "mystyle.safetensors").read_bytes() == before


def test_weights_whose_card_could_not_follow_are_whole_without_it(studio, home, run, monkeypatch):
    real = session.write_atomic

    def fails_for_cards(target, *rest):
        if target.suffix == ".json":
            raise TargetError(target, "the disk is full", "Free some space.")
        real(target, *rest)

    monkeypatch.setattr(session, "write_atomic", fails_for_cards)
    with pytest.raises(TargetError):
        session.install(studio / "run" / "mystyle.safetensors")
    assert weights.check(home / "mystyle.safetensors") == "no card"
    monkeypatch.undo()
    session.install(studio / "run" / "mystyle.safetensors")


def test_some_samples_are_retouched_photos_to_be_left_alone(studio):
    pairs = match_pairs(studio / "before", studio / "after").pairs
    share, all_, none = (StudioPairs(pairs, (1,), 8, 0, part) for part in (0.5, 1, 0))
    assert torch.equal(all_.batch(0).crop, all_.batch(0).crop_target)
    batch = share.batch(0)
    changed = (batch.thumbnail - batch.thumbnail_target).abs().amax((1, 2, 3)) > 0
    assert 1 <= changed.sum() <= 7
    assert all((a - b).abs().max() > 0 for a, b in zip(*none.batch(0)[:2], strict=True))
    assert share.identity != none.identity


def test_photos_that_need_nothing_are_among_the_samples(studio):
    pairs = match_pairs(studio / "before", studio / "after").pairs
    idle = [studio / "idle" / "0.png"]
    made = StudioPairs(pairs, (1,), 2, 0, nothing=(idle, 1))
    assert torch.equal(made.batch(0).crop, made.batch(0).crop_target)
    assert made.draw(np.random.default_rng(0)) == (idle[0], idle[0])
    other = StudioPairs(pairs, (1,), 2, 0, nothing=([studio / "idle" / "1.png"], 1))
    assert made.identity != other.identity
    assert StudioPairs(pairs, (1,), 2, 0, nothing=([], 1)).idle == 0


def test_photos_that_need_nothing_are_counted_on_the_card(run):
    told, card = run
    assert "short.png: the file is cut short" in told
    assert "no --nothing DIR" not in told
    assert card["data"]["photos with nothing to do"] == 2
    assert card["data"]["held out of those"] == 1


def test_without_photos_that_need_nothing_the_danger_is_told():
    told = []
    assert idle_photos(None, told.append) == []
    assert told == ["warning: no --nothing DIR: photos unlike the pairs may not be left alone"]


def test_restraint_is_judged_on_retouched_photos_and_on_those_that_need_nothing(studio):
    matched = match_pairs(studio / "before", studio / "after")
    nothing = sorted((studio / "idle").glob("?.png"))
    batches = data.studio_data(matched, (1,), 1, 0, nothing).validation()
    idle = [torch.equal(batch.crop, batch.crop_target) for batch in batches]
    assert idle == [False, True, True]


def test_the_gate_has_no_part_in_what_a_run_is(studio):
    config, manner, base = session.make_of(studio / "base.safetensors", None, None, "cloth")
    assert (*manner.gate, manner.peak) == (CONFIG.gate_low, CONFIG.gate_high, CONFIG.gate_peak)
    assert base.config == CONFIG
    bare = AbpnConfig()
    assert (config.gate_low, config.gate_high, config.gate_peak) == (
        bare.gate_low, bare.gate_high, bare.gate_peak,
    )  # fmt: skip


def test_a_style_is_given_the_least_peak_that_leaves_fine_photos_alone(studio):
    base = session.start_from(studio / "base.safetensors")
    nothing = sorted((studio / "idle").glob("?.png"))
    matched = match_pairs(studio / "before", studio / "after")
    fine = data.studio_data(matched, (1,), 1, 0, nothing).fine()
    assert len(fine) == 1 and torch.equal(fine[0].crop, fine[0].crop_target)
    net = deepcopy(base)
    head = net.lrl.mask_branch.head
    with torch.no_grad():  # a style sure of 0.85 everywhere, which darkens all it touches
        head.weight.zero_()
        head.bias.fill_(1.735)
        net.lrl.retouch_branch.painter.feature.bias.fill_(-0.2)
        head_of_base = base.lrl.mask_branch.head
        head_of_base.weight.zero_()
        head_of_base.bias.fill_(-9)
    assert session.settled_peak(net, base, fine, (0.5, 0.9, 0.99, 0.999)) == 0.99
    assert session.settled_peak(net, base, fine, (0.5, 0.9)) == 0.9
    assert session.settled_peak(base, base, fine, (0.5, 0.9)) == 0.5
    assert session.settled_peak(net, base, [], (0.5, 0.9)) == 0.5
    assert session.settled_peak(net, None, fine, (0.5, 0.9)) == 0.5


@pytest.mark.parametrize("out", ["before", "after/run"])
def test_a_run_does_not_write_among_the_photos(studio, home, out):
    words = map(str, (*TINY, "--task", "lost", "--out", out))
    code, _, err = abpn(*words, cwd=studio)
    assert code == 2
    assert f"--out {out}: lies among the photos" in err
    assert not list((studio / "before").glob("*.safetensors"))
    assert not (studio / "after" / "run").exists()
