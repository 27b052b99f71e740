"""`abpn weights`: the tasks, and in which state their files are."""

import json
import sys

import pytest
from command import abpn
from shoots import picture, save

from abpn_cli import weights


def test_weights_lists_tasks_with_their_state(tmp_path, checkpoint, monkeypatch):
    own = tmp_path / "data" / "abpn" / "weights"
    own.mkdir(parents=True)
    (own / "mystyle.safetensors").write_bytes(checkpoint.read_bytes())
    card = {"licence": "ours", "known failures": ["soft prints", "white gaps"]}
    (own / "other.safetensors").write_bytes(checkpoint.read_bytes())
    weights.write_card(own / "other.safetensors", card)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform != "linux":
        pytest.skip("the user's folder is moved by XDG_DATA_HOME on Linux only")
    code, out, _ = abpn("weights", cwd=tmp_path)
    assert code == 0
    assert "mystyle  no card" in out
    assert "known failures soft prints\n" in out and "known failures white gaps\n" in out
    save(tmp_path / "in" / "a.jpg", picture())
    assert abpn("retouch", "in", "-o", "done", "--task", "mystyle", cwd=tmp_path)[0] == 0
    (own / "mystyle.safetensors").write_bytes(b"broken")
    code, out, _ = abpn("weights", "--json", "-", cwd=tmp_path)
    assert code == 5
    (row,) = [row for row in json.loads(out) if row["task"] == "mystyle"]
    assert row["state"] == "damaged"
    (own / "lost.safetensors").symlink_to("nowhere")
    code, out, _ = abpn("weights", cwd=tmp_path)
    assert code == 5
    assert "lost  damaged" in out and "mystyle  damaged" in out
