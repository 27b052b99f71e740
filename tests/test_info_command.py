"""`abpn info`: what a photo is, and which one is broken."""

import json
import zlib

from command import abpn, real_abpn
from shoots import picture, save


def test_info_tells_what_a_photo_is_and_names_the_broken_one(shoot):
    (shoot / "in" / "cut.jpg").write_bytes((shoot / "in" / "a.jpg").read_bytes()[:400])
    code, out, err = abpn("info", "in", cwd=shoot)
    assert code == 3
    assert "in/sub/c.png\n  format       PNG, 16 bits" in out
    assert "128 x 96 px" in out and "thumbnail 64 x 48 px" in out
    assert "output       TIFF" in out
    assert err.startswith("abpn: in/cut.jpg: ") and err.count("\n") == 1
    code, out, _ = abpn("info", "in/a.jpg", "--json", "-", cwd=shoot)
    (facts,) = json.loads(out)
    assert (code, facts["width"], facts["height"], facts["bits"]) == (0, 128, 96, 8)


def test_info_tells_of_a_photo_too_small_to_retouch(shoot):
    save(shoot / "in" / "tiny.png", picture(15, 16))
    save(shoot / "in" / "small.png", picture(16, 16))
    _, out, _ = abpn("info", "in/small.png", "in/tiny.png", "--json", "-", cwd=shoot)
    small, tiny = json.loads(out)
    assert small["warnings"] == []
    assert tiny["warnings"] == ["It is too small to retouch: both sides need 16 pixels."]


def test_info_passes_a_decoder_s_words_on_in_the_photo_s_own_line(shoot):
    whole = bytearray((shoot / "in" / "sub" / "b.png").read_bytes())
    start_of_pixels = whole.index(b"IDAT") + 4
    pixels = zlib.compress(b"too few")
    broken = whole[: start_of_pixels - 8] + len(pixels).to_bytes(4, "big") + b"IDAT" + pixels
    broken += zlib.crc32(b"IDAT" + pixels).to_bytes(4, "big") + whole[-12:]
    (shoot / "in" / "few.png").write_bytes(broken)
    code, out, err = real_abpn("info", "in/few.png", cwd=shoot)
    assert (code, out) == (3, "")
    assert err.startswith("abpn: in/few.png: ") and err.count("\n") == 1
    assert "libpng" in err
