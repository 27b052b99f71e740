"""A delivery for `abpn verify`, and what it says of one."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from command import abpn
from networks import photo_of
from photos import canon_block, srgb_profile, write_jpeg, write_png, write_tiff

from abpn_cli.batch.journal import JOURNAL_NAME

SIZE = (300, 420)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def pixels(dtype=np.uint8, size=SIZE):
    return photo_of(*size, dtype).pixels


def make_sources(folder):
    """A photo of each format, with an ICC profile and camera EXIF, one turned, one with alpha."""
    (folder / "sub").mkdir(parents=True)
    exif = canon_block()
    exif = exif.replace(b"\x12\x01\x03\0\1\0\0\0\1\0", b"\x12\x01\x03\0\1\0\0\0\6\0")  # turned
    write_jpeg(folder / "a.jpg", pixels(), srgb_profile(), exif, subsampling=2)
    write_tiff(folder / "b.tif", pixels(np.uint16), srgb_profile())
    (folder / "b.xmp").write_bytes(XMP)
    stored = np.dstack([pixels(), pixels()[..., 0]])
    write_png(folder / "sub" / "c.png", stored, srgb_profile())
    return folder


def retouch(root, checkpoint, *words, out="out"):
    """Do the shoot in `in`; return the exit code."""
    there = (root / "in", "-o", root / out, "--weights", checkpoint)
    return abpn("retouch", *there, *words, cwd=root)[0]


def verify(root, *words, out="out"):
    """Run the command; return its exit code and its JSON document."""
    code, text, err = abpn("verify", root / out, "--json", "-", *words, cwd=root)
    assert err == "", err
    document = json.loads(text)
    assert document["summary"]["exit_code"] == code
    return code, document


def verdicts(document):
    return {photo["output"]: photo["verdict"] for photo in document["photos"]}


def found(document, output, state="off"):
    """The checks of one photo that are in a state, by name."""
    (photo,) = [photo for photo in document["photos"] if photo["output"] == output]
    return {c["name"]: c["words"] for c in photo["checks"] if c["state"] == state}


def only_wrong(studio, output, check, *words):
    """One photo is wrong, in one respect; the others are all right."""
    code, document = verify(studio, *words)
    others = {name for name, verdict in verdicts(document).items() if verdict != "ok"}
    assert (code, others) == (3, {output}), document
    assert list(found(document, output)) == [check], document
    return found(document, output)[check]


def sworn(root, output):
    """Have the journal say that what lies there now is what was delivered."""
    journal = root / "out" / JOURNAL_NAME
    data = (root / "out" / output).read_bytes()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    line = [e for e in lines if e["entry"] == "photo" and e["output"] == output][-1]
    line |= {"output_size": len(data), "output_sha256": hashlib.sha256(data).hexdigest()}
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
