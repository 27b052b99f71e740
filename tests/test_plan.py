"""The plan: which photos, where they go, what is refused before anything starts."""

import os
from pathlib import Path

import pytest

from abpn_cli.batch.plan import (
    Naming,
    check_out,
    make_jobs,
    refuse_out,
    same_format,
    settle_twins,
)
from abpn_cli.batch.sources import (
    Source,
    find_masks,
    find_sidecars,
    find_sources,
    without_masks,
)
from abpn_cli.errors import NoPhotoError, TargetError, UsageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".cr2"})
KINDS = {b"JPEG": "jpeg", b"PNG8": "png", b"PN16": "png", b"TIFF": "tiff", b"RAW!": "raw"}


def sniff(path):
    return KINDS.get(path.read_bytes()[:4]) if path.is_file() else None


def bits(path):
    return 16 if path.read_bytes() == b"PN16" else 8


def write(path, content=b"JPEG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find(*paths):
    return find_sources(paths, sniff, SUFFIXES)


def plan(*paths, out, format_=None, prefer=None, **naming):
    def format_of(source):
        return format_ or same_format(source, bits)

    sources = settle_twins(find(*paths), prefer)
    return make_jobs(sources, Naming(out, SUFFIXES, format_of, **naming))


def relatives(sources):
    return [str(source.relative) for source in sources]


def test_the_tree_is_mirrored_and_walked_in_order(tmp_path):
    for name in ("b.jpg", "a.jpg", "sub/c.jpg", "sub/deep er/d.jpg"):
        write(tmp_path / "in" / name)
    jobs = plan(tmp_path / "in", out=tmp_path / "out")
    assert [str(job.relative) for job in jobs] == [
        "a.jpg",
        "b.jpg",
        "sub/c.jpg",
        "sub/deep er/d.jpg",
    ]
    assert [job.target for job in jobs] == [tmp_path / "out" / job.relative for job in jobs]
    assert not (tmp_path / "out").exists()


def test_photos_are_known_by_content_and_non_photos_ignored_quietly(tmp_path):
    write(tmp_path / "no_suffix", b"PNG8")
    write(tmp_path / "notes.txt", b"text")
    write(tmp_path / "Thumbs.db", b"\0\0")
    write(tmp_path / "a.xmp", b"<x/>")
    assert relatives(find(tmp_path)) == ["no_suffix"]


def test_a_damaged_photo_is_kept_to_be_reported(tmp_path):
    write(tmp_path / "empty.JPG", b"")
    (source,) = find(tmp_path)
    assert (source.path.name, source.kind) == ("empty.JPG", "")


def test_a_file_named_by_the_user_is_kept_whatever_it_is(tmp_path):
    assert relatives(find(write(tmp_path / "notes.txt", b"text"))) == ["notes.txt"]


def test_hidden_files_and_folders_are_left_alone(tmp_path):
    write(tmp_path / "a.jpg")
    write(tmp_path / "._a.jpg")
    write(tmp_path / ".b.jpg.abpn-tmp")
    write(tmp_path / ".trash" / "c.jpg")
    assert relatives(find(tmp_path)) == ["a.jpg"]


def test_links_to_folders_are_not_followed(tmp_path):
    write(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    assert relatives(find(tmp_path / "in")) == ["a.jpg"]


def test_a_dangling_link_is_kept_to_be_reported(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert relatives(find(tmp_path)) == ["gone.jpg"]


def test_a_photo_met_twice_counts_once(tmp_path):
    photo = write(tmp_path / "sub" / "a.jpg")
    assert relatives(find(tmp_path, photo, tmp_path / "sub")) == ["sub/a.jpg"]


def test_a_missing_path_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        find(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "a.jpg")
    real = os.scandir

    def denied(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UsageError, match="locked: the folder cannot be read"):
        find(tmp_path)


def test_no_photo_at_all_is_an_error_of_its_own(tmp_path):
    write(tmp_path / "notes.txt", b"text")
    with pytest.raises(NoPhotoError, match="no photo found"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "target", "format_"),
    [
        ("a.JPG", b"JPEG", "a.JPG", "jpeg"),
        ("a.jpeg", b"JPEG", "a.jpeg", "jpeg"),
        ("a.png", b"PNG8", "a.png", "png"),
        ("a.png", b"PN16", "a.tif", "tiff"),
        ("a.tiff", b"TIFF", "a.tiff", "tiff"),
        ("a.cr2", b"RAW!", "a.tif", "tiff"),
        ("a.jpg", b"PNG8", "a.png", "png"),
        ("a.tif", b"JPEG", "a.jpg", "jpeg"),
        ("a.2024", b"JPEG", "a.2024.jpg", "jpeg"),
        ("broken.jpg", b"", "broken.jpg", "jpeg"),
        ("broken.tif", b"", "broken.tif", "tiff"),
    ],
)
def test_same_keeps_what_loses_nothing(tmp_path, name, content, target, format_):
    (job,) = plan(write(tmp_path / name, content), out=tmp_path / "out")
    assert (job.target.name, job.format) == (target, format_)


def test_two_photos_for_one_output_are_refused_and_all_listed(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg", "b.png", "c.jpg"):
        write(tmp_path / "in" / name, b"PNG8" if name.endswith("png") else b"JPEG")
    with pytest.raises(UsageError) as caught:
        plan(tmp_path / "in", out=tmp_path / "out", format_="tiff")
    text = str(caught.value)
    assert "a.jpg and" in text and "b.png ->" in text and "c.jpg" not in text


def test_names_equal_but_for_case_are_refused(tmp_path):
    write(tmp_path / "in" / "IMG.jpg")
    write(tmp_path / "in" / "img.JPG")
    with pytest.raises(UsageError, match="more than one photo for one output"):
        plan(tmp_path / "in", out=tmp_path / "out")


def test_a_kept_mask_that_meets_another_output_is_refused(tmp_path):
    write(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "a_mask.png", b"PNG8")
    with pytest.raises(UsageError, match="more than one photo for one output"):
        plan(tmp_path / "in", out=tmp_path / "out", keep_mask=True)


def test_same_names_in_different_folders_do_not_collide(tmp_path):
    write(tmp_path / "in" / "a" / "IMG.jpg")
    write(tmp_path / "in" / "b" / "IMG.jpg")
    assert len(plan(tmp_path / "in", out=tmp_path / "out")) == 2


def test_raw_and_jpeg_twins_need_a_preference(tmp_path):
    write(tmp_path / "in" / "IMG.jpg")
    write(tmp_path / "in" / "img.CR2", b"RAW!")
    write(tmp_path / "in" / "other" / "IMG.CR2", b"RAW!")
    with pytest.raises(UsageError, match=r"--prefer raw or --prefer jpeg:\n.*IMG.jpg and .*CR2"):
        plan(tmp_path / "in", out=tmp_path / "out")
    for prefer, kept in (("raw", "img.CR2"), ("jpeg", "IMG.jpg")):
        jobs = plan(tmp_path / "in", out=tmp_path / "out", prefer=prefer)
        assert [job.source.name for job in jobs] == [kept, "IMG.CR2"]


def test_the_output_folder_may_not_be_a_folder_of_the_photos(tmp_path):
    photo = write(tmp_path / "in" / "a.jpg")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    for paths, out in (
        ([tmp_path / "in"], tmp_path / "in"),
        ([tmp_path / "in"], tmp_path / "alias"),
        ([photo], tmp_path / "in"),
        ([tmp_path / "in"], tmp_path / "in" / "done"),
        ([tmp_path / "in"], tmp_path / "x" / ".." / "in" / "done"),
    ):
        with pytest.raises(UsageError, match="--out"):
            refuse_out(paths, out)
    refuse_out([tmp_path / "in"], tmp_path / "in2")
    refuse_out([photo], tmp_path / "in" / "done")


def test_an_output_that_is_a_photo_of_the_run_is_refused(tmp_path):
    write(tmp_path / "in" / "sub" / "a.jpg")
    write(tmp_path / "out" / "sub" / "a.jpg")
    with pytest.raises(UsageError, match="would be overwritten.*\n.*out/sub/a.jpg"):
        plan(tmp_path / "in", tmp_path / "out" / "sub", out=tmp_path / "out")


@pytest.mark.parametrize("leads", ["out of it", "to the photos", "round", "nowhere"])
def test_an_output_folder_reached_through_a_link_is_refused_by_name(tmp_path, leads):
    write(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "sub" / "deep" / "b.jpg")
    out = tmp_path / "out"
    (out / "other").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    place = {
        "out of it": tmp_path / "away",
        "to the photos": tmp_path / "in" / "sub",
        "round": out / "other",
        "nowhere": out / "missing",
    }[leads]
    (out / "sub").symlink_to(place, target_is_directory=True)
    with pytest.raises(UsageError, match="out/sub/deep/b.jpg through .*out/sub") as caught:
        plan(tmp_path / "in", out=out)
    assert "a.jpg" not in str(caught.value)


def test_the_output_folder_itself_may_be_a_link(tmp_path):
    write(tmp_path / "in" / "sub" / "a.jpg")
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert len(plan(tmp_path / "in", out=tmp_path / "out")) == 1


def test_sidecars_follow_the_name_of_the_output(tmp_path):
    write(tmp_path / "in" / "a.png", b"PN16")
    for name in ("a.xmp", "a.png.XMP"):
        write(tmp_path / "in" / name, b"<x/>")
    (job,) = plan(tmp_path / "in", out=tmp_path / "out")
    assert [(read.name, written.name) for read, written in job.sidecars] == [
        ("a.xmp", "a.xmp"),
        ("a.png.XMP", "a.tif.XMP"),
    ]
    assert find_sidecars(tmp_path / "in" / "b.jpg") == []


def test_masks_lie_beside_their_photos_or_in_the_folder_named(tmp_path):
    write(tmp_path / "in" / "sub" / "a.JPG")
    beside, away = (
        plan(tmp_path / "in", out=out, format_="png", ending="_mask")[0].target
        for out in (None, tmp_path / "masks")
    )
    assert beside == tmp_path / "in" / "sub" / "a_mask.png"
    assert away == tmp_path / "masks" / "sub" / "a_mask.png"


def test_own_masks_are_no_photos_but_others_of_that_name_are(tmp_path):
    for name in ("a.jpg", "a_mask.png", "b_mask.png"):
        write(tmp_path / name, b"PNG8")
    found = find(tmp_path)
    assert relatives(without_masks(found, lambda path: True)) == ["a.jpg", "b_mask.png"]
    assert without_masks(found, lambda path: False) == found


def test_a_folder_of_masks_matches_by_relative_path_and_stem(tmp_path):
    tif = write(tmp_path / "sub" / "a.tif")
    write(tmp_path / "a.png")
    drawn = write(tmp_path / "sub" / "b_mask.png")
    write(tmp_path / "sub" / "c.txt")
    photos = [Path("sub/a.jpg"), Path("sub/b.jpg"), Path("sub/c.jpg"), Path("none/a.jpg")]
    assert find_masks(tmp_path, photos, SUFFIXES) == [tif, drawn, None, None]
    write(tmp_path / "sub" / "a.png")
    with pytest.raises(UsageError, match="more than one mask"):
        find_masks(tmp_path, photos, SUFFIXES)


def test_a_folder_of_masks_is_listed_once_however_many_photos(tmp_path, monkeypatch):
    mask = write(tmp_path / "a.png")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: listed.append(place) or scandir(place))
    assert find_masks(tmp_path, [Path("a.jpg"), Path("a.tif")] * 50, SUFFIXES) == [mask] * 100
    assert listed == [tmp_path]


def test_a_name_too_long_for_its_suffix_is_shortened_and_told(tmp_path):
    photo = write(tmp_path / "in" / ("ä" * 125 + ".png"), b"PN16")
    (job,) = plan(photo, out=tmp_path / "out", keep_mask=True)
    for written in (job.target, job.mask):
        assert len(os.fsencode(written.name)) <= 255
    assert "too long" in job.warnings[0]


def test_names_that_are_not_utf8_are_planned_like_any_other(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        write(tmp_path / "in" / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (job,) = plan(tmp_path / "in", out=tmp_path / "out")
    assert job.target.name == name


def test_an_output_folder_that_cannot_be_made_is_a_target_error(tmp_path, monkeypatch):
    check_out(tmp_path / "a" / "b")
    write(tmp_path / "file")
    with pytest.raises(TargetError, match="file is not a folder"):
        check_out(tmp_path / "file" / "out")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(TargetError, match="no permission"):
        check_out(tmp_path / "out")
    assert not (tmp_path / "a").exists()


def test_a_source_says_its_kind(tmp_path):
    assert find(write(tmp_path / "x.jpg", b"TIFF")) == [
        Source(tmp_path / "x.jpg", Path("x.jpg"), "tiff")
    ]
