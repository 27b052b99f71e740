"""`abpn mask`: masks and overlays beside photos or in a folder of their own."""

import json

import numpy as np
import pytest
from command import abpn
from shoots import files, load, picture, save

pytestmark = pytest.mark.usefixtures("one_decoder")


def test_mask_writes_the_gate_beside_the_photo_and_knows_its_own_files(shoot, checkpoint):
    code, out, err = abpn("mask", "in", "--weights", checkpoint, "--binary", "--ndjson", cwd=shoot)
    assert code == 0 and " mask" in err and "changed" not in err, err
    assert json.loads(out.splitlines()[1])["changed_fraction"] is None
    made = ["a_mask.png", "sub/b_mask.png", "sub/c_mask.png"]
    assert [name for name in files(shoot / "in") if "_mask" in name] == made
    mask = load(shoot / "in" / "a_mask.png")
    assert mask.dtype == np.uint8 and mask.shape == (96, 128)
    assert set(np.unique(mask)) <= {0, 255}
    code, _, err = abpn(
        "mask", "in", "--out", "red", "--overlay", "--weights", checkpoint, cwd=shoot
    )
    assert code == 0, err
    assert files(shoot / "red") == ["a_mask.jpg", "sub/b_mask.jpg", "sub/c_mask.jpg"]
    assert load(shoot / "red" / "sub" / "c_mask.jpg").dtype == np.uint8
    code, out, _ = abpn(
        "retouch", "in", "-o", "done", "--weights", checkpoint, "-n", "--ndjson", cwd=shoot
    )
    assert code == 0 and "_mask" not in out


def test_overlays_beside_photos_are_known_again_and_a_photo_of_that_name_is_a_photo(
    shoot, checkpoint
):
    code, _, err = abpn("mask", "in/sub/b.png", "--overlay", "--weights", checkpoint, cwd=shoot)
    assert code == 0, err
    save(shoot / "in" / "a_mask.jpg", picture())  # somebody who wears a mask
    for verb, out in (("retouch", "done"), ("mask", "masks")):
        _, told, _ = abpn(
            verb, "in", "-o", out, "--weights", checkpoint, "-n", "--ndjson", cwd=shoot
        )
        read = [json.loads(line)["source"] for line in told.splitlines()[1:-1]]
        assert read == ["in/a.jpg", "in/a_mask.jpg", "in/sub/b.png", "in/sub/c.png"]
