"""JPEG to JPEG: what the edit did not touch is the source's own, to the coefficient."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import jpeglib
import numpy as np
import pytest
from jpegs import SOURCES, a_scan_each, join_scans, retouched, source, textured
from photos import donate, icc_of, needs_exiftool, pattern, srgb_profile, tags_of, write_jpeg
from PIL import Image

from abpn_cli.codecs import EncodeOptions, decode, encode, jpeg, make_upright
from abpn_cli.errors import PhotoError
from abpn_cli.metadata import jpeg_carrier

SIZES = [(96, 128), (75, 109), (17, 8)]
KEEP, ANEW = EncodeOptions(), EncodeOptions(jpeg="reencode")
FRAMES = jpeg_carrier.FRAMES
NOTE = "All of it was encoded again, at quality 95"


@pytest.fixture(params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def segments_of(path: Path) -> list[jpeg_carrier.Segment]:
    return jpeg_carrier.split(path.read_bytes())[0]


def coefficients(path: Path) -> list[np.ndarray]:
    """Dequantised by the component's own table, by jpeglib's public reader."""
    with jpeglib.version("turbo210"):
        read = jpeglib.read_dct(str(path))
        read.load()
    blocks = [item for item in (read.Y, read.Cb, read.Cr) if item is not None]
    return [item * read.get_component_qt(n).astype(int) for n, item in enumerate(blocks)]


def touched_mcus(before: np.ndarray, after: np.ndarray, mcu: tuple[int, int]) -> np.ndarray:
    """(MCUs down, across) bool, said in the plainest way."""
    down, across = (-(-n // m) for n, m in zip(before.shape, mcu, strict=False))
    touched = np.zeros((down, across), bool)
    for y, x in np.argwhere((before != after).any(axis=2)):
        touched[y // mcu[0], x // mcu[1]] = True
    return touched


def spread(touched: np.ndarray, each: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Enlarge a map of MCUs, `each` of which holds so many blocks or pixels."""
    return touched.repeat(each[0], 0).repeat(each[1], 1)[: shape[0], : shape[1]]


@pytest.mark.parametrize("size", SIZES)
def test_coefficients_outside_touched_mcus_are_the_sources(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    photo = source(tmp_path / "a.jpg", kind, size)
    done = retouched(photo)
    assert encode(done, tmp_path / "b.jpg", "jpeg", KEEP) == ()
    touched = touched_mcus(photo.pixels, done.pixels, SOURCES[kind][1])
    before, after = coefficients(tmp_path / "a.jpg"), coefficients(tmp_path / "b.jpg")
    assert len(before) == len(after) == (1 if kind == "grey" else 3)
    changed = 0
    luma = tuple(side // 8 for side in SOURCES[kind][1])
    for old, new, each in zip(before, after, (luma, (1, 1), (1, 1)), strict=False):
        differs = (old != new).any(axis=(2, 3))
        assert not (differs & ~spread(touched, each, old.shape)).any()
        changed += differs.sum()
    assert changed and (size == SIZES[2] or not touched.all())
    process = next(f.marker for f in segments_of(tmp_path / "b.jpg") if f.marker in FRAMES)
    assert process == (0xC1 if kind == "16-bit steps" else 0xC0)  # sequential, Huffman


def test_decoded_pixels_are_identical_beyond_the_reach_of_chroma(tmp_path: Path, kind: str) -> None:
    photo = source(tmp_path / "a.jpg", kind)
    done = retouched(photo)
    encode(done, tmp_path / "b.jpg", "jpeg", KEEP)
    mcu = SOURCES[kind][1]
    touched = touched_mcus(photo.pixels, done.pixels, mcu)
    near = spread(touched, mcu, photo.pixels.shape).astype(np.uint8)
    if mcu != (8, 8):  # chroma is smoothed across the edges of its samples
        near = cv2.dilate(near, np.ones((5, 5), np.uint8))
    ours = decode(tmp_path / "b.jpg").pixels
    assert np.array_equal(ours[near == 0], photo.pixels[near == 0])
    assert not np.array_equal(ours, photo.pixels)


def test_an_untouched_photo_keeps_every_bit_of_its_scans(tmp_path: Path, kind: str) -> None:
    photo = source(tmp_path / "a.jpg", kind)
    assert encode(photo, tmp_path / "b.jpg", "jpeg", KEEP) == ()
    old, new = (tmp_path / "a.jpg").read_bytes(), (tmp_path / "b.jpg").read_bytes()
    for before, after in zip(
        *map(coefficients, (tmp_path / "a.jpg", tmp_path / "b.jpg")), strict=True
    ):
        assert np.array_equal(before, after)
    frame = next(f for f in segments_of(tmp_path / "b.jpg") if f.marker in FRAMES)
    assert frame.payload[6::3] == b"\1\2\3"[: frame.payload[5]]  # YCbCr to every reader
    if kind not in ("16-bit steps", "arithmetic coding"):  # whose channels had other numbers
        assert old[jpeg_carrier.split(old)[1] :] == new[jpeg_carrier.split(new)[1] :]


def test_inside_touched_mcus_it_shows_the_retouch_no_worse_than_encoding_the_whole(
    tmp_path: Path, kind: str
) -> None:
    photo = source(tmp_path / "a.jpg", kind, (187, 251))
    done = retouched(photo)
    if kind == "grey":  # stays grey: what the retouch says of colour has no place
        done = replace(done, pixels=done.pixels[..., :1].repeat(3, axis=2))
    encode(done, tmp_path / "b.jpg", "jpeg", KEEP)
    with jpeglib.version("turbo210"):
        read = jpeglib.read_dct(str(tmp_path / "a.jpg"))
        read.load()
        image = jpeglib.from_spatial(done.pixels if kind != "grey" else done.pixels[..., :1])
        image.samp_factor = read.samp_factor
        tables = [read.get_component_qt(n) for n in range(read.num_components)]
        image.write_spatial(str(tmp_path / "whole.jpg"), qt=np.array(tables))
    where = (photo.pixels != done.pixels).any(axis=2)

    def error(path: Path) -> float:
        wrong = decode(path).pixels[where].astype(float) - done.pixels[where]
        return float((wrong**2).mean())

    assert error(tmp_path / "b.jpg") <= 1.05 * error(tmp_path / "whole.jpg")
    assert error(tmp_path / "b.jpg") < 0.2 * error(tmp_path / "a.jpg")


def test_the_size_stays_about_the_sources(tmp_path: Path, kind: str) -> None:
    photo = source(tmp_path / "a.jpg", kind, (192, 256))
    encode(retouched(photo), tmp_path / "b.jpg", "jpeg", KEEP)
    old, new = (tmp_path / "a.jpg").stat().st_size, (tmp_path / "b.jpg").stat().st_size
    thumbnail = 5000
    assert new < 1.15 * old + thumbnail


def test_an_independent_reader_sees_what_we_see(tmp_path: Path, kind: str) -> None:
    photo = source(tmp_path / "a.jpg", kind)
    encode(retouched(photo), tmp_path / "b.jpg", "jpeg", KEEP)
    opened = Image.open(tmp_path / "b.jpg")
    assert opened.mode == ("L" if kind == "grey" else "RGB")
    seen = np.asarray(opened.convert("RGB")).astype(int)
    assert np.abs(seen - decode(tmp_path / "b.jpg").pixels).max() <= 1


def test_white_beyond_the_range_does_not_swallow_a_retouch(tmp_path: Path) -> None:
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[:, ::7] = 0  # its edges swing far beyond white and black
    write_jpeg(tmp_path / "a.jpg", pixels, quality=60)
    photo = decode(tmp_path / "a.jpg")
    done = replace(photo, pixels=np.where(photo.pixels == 255, 225, photo.pixels).astype(np.uint8))
    encode(done, tmp_path / "b.jpg", "jpeg", KEEP)
    white = photo.pixels == 255
    got = decode(tmp_path / "b.jpg").pixels.astype(int)
    assert abs(got[white].mean() - 225) < 2


def test_a_grey_photo_stays_grey_whatever_the_retouch_made_of_it(tmp_path: Path) -> None:
    photo = source(tmp_path / "a.jpg", "grey")
    done = retouched(photo)
    done.pixels[20:40, 20:40, 0] += 9
    encode(done, tmp_path / "b.jpg", "jpeg", KEEP)
    with Image.open(tmp_path / "b.jpg") as opened:
        assert opened.mode == "L"


@needs_exiftool
@pytest.mark.parametrize("turn", [1, 6])
def test_every_tag_is_there_and_the_thumbnail_is_new(tmp_path: Path, turn: int) -> None:
    path = write_jpeg(tmp_path / "a.jpg", textured(75, 109), srgb_profile())
    donate(path, f"-EXIF:Orientation={turn}", "-EXIF:YCbCrPositioning=2")
    encode(retouched(decode(path)), tmp_path / "b.jpg", "jpeg", KEEP)
    before, after = tags_of(path), tags_of(tmp_path / "b.jpg")
    assert {name: after.get(name) for name in before} == before
    positions = ["exiftool", "-s3", "-n", "-YCbCrPositioning", str(tmp_path / "b.jpg")]
    assert subprocess.run(positions, check=True, capture_output=True).stdout.strip() == b"2"
    assert icc_of(tmp_path / "b.jpg") == srgb_profile()
    asked = ["exiftool", "-b", "-ThumbnailImage", str(tmp_path / "b.jpg")]
    small = Image.open(io.BytesIO(subprocess.run(asked, check=True, capture_output=True).stdout))
    assert small.size == (109, 75)
    assert decode(tmp_path / "b.jpg").metadata.orientation == turn


def test_a_missing_end_and_faulty_segments_are_mended_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "whole.jpg", textured(75, 109))
    data = path.read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe2\0\x08MPF\0xx\0\0" + data[2:-2])
    done = retouched(decode(tmp_path / "a.jpg"))
    assert encode(done, tmp_path / "b.jpg", "jpeg", KEEP) == ()
    encode(replace(done, source=path, digest=decode(path).digest), tmp_path / "c.jpg", "jpeg", KEEP)
    assert (tmp_path / "b.jpg").read_bytes() == (tmp_path / "c.jpg").read_bytes()


def rgb_inside(path: Path) -> None:
    Image.fromarray(textured(75, 109)).save(path, keep_rgb=True)


def new_steps_between_scans(path: Path) -> None:
    a_scan_each(path, 96, 128)
    data = path.read_bytes()
    at = data.index(b"\xff\xda", jpeg_carrier.split(data)[1] + 2)
    table = next(item for item in jpeg_carrier.split(data)[0] if item.marker == 0xDB)
    path.write_bytes(data[:at] + jpeg_carrier.join([table])[2:] + data[at:])


def quarter_chroma(path: Path) -> None:
    chroma = [np.full((32, 32), 128, np.uint8)] * 2
    join_scans(path, [textured(64, 128)[..., 0], *chroma], b"\x42\x11\x11")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (rgb_inside, "its channels are RGB"),
        (new_steps_between_scans, "its quantisation changes between scans"),
        (quarter_chroma, "its chroma sampling is unusual"),
    ],
)
def test_what_cannot_be_kept_is_encoded_whole_with_a_word(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(tmp_path / "a.jpg")
    done = retouched(decode(tmp_path / "a.jpg"))
    assert encode(done, tmp_path / "b.jpg", "jpeg", KEEP) == (f"{NOTE}: {reason}.",)
    assert (tmp_path / "b.jpg").read_bytes() == jpeg.encode(done, KEEP).data


def test_a_photo_turned_upright_is_encoded_whole_with_a_word(tmp_path: Path) -> None:
    block = Image.Exif()
    block[274] = 6
    path = write_jpeg(tmp_path / "a.jpg", textured(75, 109), exif=block.tobytes()[6:])
    (word,) = encode(make_upright(decode(path)), tmp_path / "b.jpg", "jpeg", KEEP)
    assert word.startswith(f"{NOTE}: it was turned")
    assert decode(tmp_path / "b.jpg").pixels.shape == (109, 75, 3)


def test_what_takes_more_memory_than_is_left_is_encoded_whole_with_a_word(tmp_path: Path) -> None:
    photo = source(tmp_path / "a.jpg", "4:4:4")
    needed = 75 * 109 * 10 + 4 * 3 * (80 * 112)  # bytes of pixels, of coefficients in whole blocks
    exactly = replace(KEEP, keeping_bytes=needed)
    assert encode(retouched(photo), tmp_path / "b.jpg", "jpeg", exactly) == ()
    tight = replace(KEEP, keeping_bytes=needed - 1)
    (word,) = encode(retouched(photo), tmp_path / "b.jpg", "jpeg", tight)
    assert word.startswith(f"{NOTE}: keeping the rest takes")
    assert encode(photo, tmp_path / "b.jpg", "jpeg", tight) == ()  # nothing is touched in it


def test_reencode_and_photos_from_no_jpeg_are_encoded_whole_without_a_word(tmp_path: Path) -> None:
    done = retouched(source(tmp_path / "a.jpg", "4:2:0"))
    for number, (photo, options) in enumerate(
        [(done, ANEW), (replace(done, format="png"), KEEP), (replace(done, digest=""), KEEP)]
    ):
        target = tmp_path / f"{number}.jpg"
        assert encode(photo, target, "jpeg", options) == ()
        assert target.read_bytes() == jpeg.encode(done, KEEP).data


def test_a_source_that_changed_meanwhile_is_an_error_of_the_photo(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    done = retouched(source(path, "4:2:0"))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(PhotoError, match="changed while it was being processed"):
        encode(done, tmp_path / "b.jpg", "jpeg", KEEP)
    path.unlink()
    with pytest.raises(PhotoError, match="not there"):
        encode(done, tmp_path / "b.jpg", "jpeg", KEEP)
    assert not (tmp_path / "b.jpg").exists()


def test_a_trailing_second_image_is_left_behind(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", textured(75, 109))
    path.write_bytes(path.read_bytes() + write_jpeg(tmp_path / "c.jpg", pattern(8, 8)).read_bytes())
    encode(decode(path), tmp_path / "b.jpg", "jpeg", KEEP)
    written = (tmp_path / "b.jpg").read_bytes()
    assert written.count(b"\xff\xd9") == 2  # the thumbnail's, and its own
    assert written.endswith(b"\xff\xd9")


def test_a_comment_between_scans_is_left_behind(tmp_path: Path) -> None:
    a_scan_each(tmp_path / "a.jpg", 96, 128)
    data = (tmp_path / "a.jpg").read_bytes()
    at = data.index(b"\xff\xda", jpeg_carrier.split(data)[1] + 2)
    (tmp_path / "a.jpg").write_bytes(data[:at] + b"\xff\xfe\0\x08secret" + data[at:])
    encode(decode(tmp_path / "a.jpg"), tmp_path / "b.jpg", "jpeg", KEEP)
    assert b"secret" not in (tmp_path / "b.jpg").read_bytes()


def test_coarse_tables_bring_no_chatter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo = source(tmp_path / "a.jpg", "16-bit steps")
    capfd.readouterr()
    encode(retouched(photo), tmp_path / "b.jpg", "jpeg", KEEP)
    assert capfd.readouterr() == ("", "")


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    path = tmp_path / "\udcff\udcfe.jpg"
    done = retouched(source(path, "4:2:0"))
    assert encode(done, tmp_path / "b\udcff.jpg", "jpeg", KEEP) == ()


def test_many_threads_write_what_one_writes(tmp_path: Path) -> None:
    done = retouched(source(tmp_path / "a.jpg", "4:2:0", (192, 256)))

    def write(number: int) -> bytes:
        target = tmp_path / f"{number}.jpg"
        encode(done, target, "jpeg", KEEP)
        return target.read_bytes()

    alone = write(0)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(write, range(1, 25))) == {alone}


MUTATOR = """
import sys
import numpy as np
from pathlib import Path
from abpn_cli.codecs import jpeg_keep
from abpn_cli.codecs.jpeg_stream import UnkeepableError, stripped

rng, kept = np.random.default_rng(7), 0
for name in sys.argv[1:]:
    whole = np.frombuffer(Path(name).read_bytes(), np.uint8)
    for _ in range(150):
        data = whole.copy()
        at = rng.integers(2, len(data), rng.integers(1, 4))
        data[at] = rng.integers(0, 256, len(at))
        data = data[: rng.integers(len(data) // 2, 2 * len(data))].tobytes()
        try:
            pixels = jpeg_keep._decoded(stripped(data))
            jpeg_keep._kept(data, pixels ^ 8, None)
            kept += 1
        except UnkeepableError:
            pass
print(kept)
"""


def test_no_damage_crashes_it(tmp_path: Path) -> None:
    names = []
    for number, kind in enumerate(("4:2:0", "progressive", "arithmetic coding", "a scan each")):
        SOURCES[kind][0](tmp_path / f"{number}.jpg", 40, 56)
        names.append(str(tmp_path / f"{number}.jpg"))
    root = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", MUTATOR, *names],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 30  # so many were whole enough to be done
