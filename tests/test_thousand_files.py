"""A tree of a thousand files, good, bad and none of either, through the real command."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command import real_abpn
from kinds import BAD, GOOD

from abpn_cli.batch.journal import JOURNAL_NAME
from abpn_cli.files import is_leftover

pytestmark = pytest.mark.slow

FILES = int(os.environ.get("ABPN_TREE_FILES", "1000"))
NAMES = ("{}", "{} ", "ü-{}", "100%-{}", "new\nline-{}", "[bold]{}", "-{}", "n" * 240 + "-{}")
NONE = ("notes.txt", "Thumbs.db", ".hidden.jpg", "._twin.jpg", ".DS_Store", "clip.mp4", "a.gif")


class Tree(NamedTuple):
    """A folder, and the kind of each photo in it by its path inside."""

    root: Path
    kinds: dict[Path, str]

    def expected(self, path: Path) -> str:
        return "done" if self.kinds[path] in GOOD else "failed"


def odd_name(stem: str) -> str:
    return os.fsdecode(b"\xff\xfe" + os.fsencode(stem))


def make_tree(root: Path) -> Tree:
    """Make the files: three good photos to each bad one, names of every kind, nested folders."""
    good, bad = list(GOOD), list(BAD)
    kinds: dict[Path, str] = {}
    for number in range(FILES):
        kind = bad[number // 4 % len(bad)] if number % 4 == 3 else good[number % len(good)]
        suffix, write = (GOOD | BAD)[kind]
        stem = f"{number:04}"
        stem = odd_name(stem) if number % 13 == 5 else NAMES[number % len(NAMES)].format(stem)
        folder = root.joinpath(*(f"{number // step % 5}.jpg" for step in (5, 25)[: number % 3]))
        folder.mkdir(parents=True, exist_ok=True)
        plain = folder / f"{number}{suffix}"
        write(plain, number)
        if kind == "a link to itself":
            plain.unlink()
            (folder / (stem + suffix)).symlink_to(stem + suffix)
        else:
            plain.rename(folder / (stem + suffix))
        kinds[(folder / (stem + suffix)).relative_to(root)] = kind
    for number, name in enumerate(NONE):
        (root / name).write_bytes(b"GIF89a" + bytes([number]) * 100)
    for path in list(kinds)[::50]:
        if not (root / path).is_symlink():
            (root / path).with_name(path.stem + ".xmp").write_bytes(b"<x:xmpmeta/>")
    return Tree(root, kinds)


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Every file as it is: kind, time, and content, which a pipe has not."""
    found: dict[str, tuple[object, ...]] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content = ""
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISDIR(status.st_mode):
            continue
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found


class Told(NamedTuple):
    """How a run ended: exit code, its photo events by output, its summary, its stderr."""

    code: int
    photos: dict[str, dict[str, Any]]
    summary: dict[str, Any]
    err: str


def run(tree: Tree, checkpoint: Path) -> Told:
    words = ("retouch", tree.root.name, "-o", "out", "--weights", checkpoint, "--ndjson")
    code, out, err = real_abpn(*words, cwd=tree.root.parent, seconds=600)
    assert out.isascii()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["plan", *["photo"] * FILES, "summary"], err
    assert events[0]["not_read"] == {"gif": sum(not name.startswith(".") for name in NONE)}
    photos = {event["source"]: event for event in events[1:-1]}
    assert len(photos) == FILES
    return Told(code, photos, events[-1], err)


def shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return make_tree(tmp_path_factory.mktemp("thousand") / "in")


def test_a_thousand_files_of_every_kind(tree: Tree, checkpoint: Path) -> None:
    """The whole promise at once; each assertion says which part."""
    before = state(tree.root)
    out = tree.root.parent / "out"
    told = run(tree, checkpoint)

    expected = {shown(tree.root.name / path): tree.expected(path) for path in tree.kinds}
    kinds = {shown(tree.root.name / path): kind for path, kind in tree.kinds.items()}
    wrong = {
        kinds[source]: (event["status"], event["error"])
        for source, event in told.photos.items()
        if event["status"] != expected[source]
    }
    assert not wrong, "each photo is done right or named with its fault"
    counts = Counter(expected.values())
    assert min(counts.values()) > FILES / 5
    assert told.code == 3 and told.summary["exit_code"] == 3
    assert (told.summary["done"], told.summary["failed"]) == (counts["done"], counts["failed"])
    check_words(told)
    assert state(tree.root) == before, "no source is touched"
    check_outputs(out, told)

    delivered = state(out)
    again = run(tree, checkpoint)
    assert again.code == 3
    skipped = {source for source, event in again.photos.items() if event["status"] == "skipped"}
    assert skipped == {source for source, status in expected.items() if status == "done"}
    assert not any(event["foreign"] for event in again.photos.values())
    del delivered[JOURNAL_NAME]
    after = state(out)
    del after[JOURNAL_NAME]
    assert after == delivered, "nothing is done twice"
    check_verified(tree, checkpoint, told)
    assert state(tree.root) == before


def check_words(told: Told) -> None:
    """No crash, and a fault and a remedy for each failure, which people are told as well."""
    assert "Traceback" not in told.err
    assert not [line for line in told.err.splitlines() if "decoder died" in line]
    assert f"{told.summary['failed']} failed in" in told.err
    for source, event in told.photos.items():
        if event["status"] == "failed":
            assert source in event["error"] and event["error"].endswith(".")
            assert event["error"].count("\n") == source.count("\n")
        else:
            assert event["error"] is None and event["seconds"]["decode"] > 0


def check_outputs(out: Path, told: Told) -> None:
    """What was promised lies there, sidecars with it, and nothing else."""
    wanted = {e["output"] for e in told.photos.values() if e["status"] == "done"}
    there = {shown(Path(out.name, p)) for p in map(Path, state(out))}
    assert not [name for name in there if is_leftover(Path(name).name)]
    extra = {name for name in there - wanted if not name.endswith(".xmp")}
    assert wanted <= there
    assert extra == {f"{out.name}/{JOURNAL_NAME}"}


def check_verified(tree: Tree, checkpoint: Path, told: Told) -> None:
    """`abpn verify` finds every delivered photo right, and names every other one."""
    words = ("verify", "out", "--json", "-", "--weights", checkpoint)
    code, text, err = real_abpn(*words, cwd=tree.root.parent, seconds=600)
    assert (code, err) == (3, "")
    document = json.loads(text)
    verdicts = {f"out/{photo['output']}": photo for photo in document["photos"]}
    named = {event["output"]: event["status"] for event in told.photos.values()}
    assert {name: v["verdict"] for name, v in verdicts.items()} == {
        name: {"done": "ok", "failed": "failed"}[status] for name, status in named.items()
    }, [v for v in verdicts.values() if v["verdict"] not in ("ok", "failed")][:5]
    assert not document["leftovers"] and not document["strangers"]
    states = [
        check["state"]
        for photo in verdicts.values()
        for check in photo["checks"]
        if check["name"] == "pixels"
    ]
    assert states.count("ok") > 0.8 * len(states)


def test_a_folder_without_a_bad_photo_ends_with_0(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, kind in enumerate(("JPEG", "PNG", "TIFF planar")):
        suffix, write = GOOD[kind]
        write(tmp_path / "in" / f"{number}{suffix}", number)
    words = ("retouch", "in", "-o", "out", "--weights", checkpoint)
    assert real_abpn(*words, cwd=tmp_path)[0] == 0
    assert real_abpn("verify", "out", "--weights", checkpoint, cwd=tmp_path)[0] == 0
