"""The story of a run: what people read on stderr, what scripts read on stdout."""

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from abpn_cli.photo import Edit, Job, Outcome, Seconds
from abpn_cli.report.console import Loudness, Teller
from abpn_cli.report.events import (
    Events,
    Setup,
    photo_event,
    plan_event,
    planned_event,
    summary_event,
)
from abpn_cli.report.lines import duration, photo_line, summary_lines
from abpn_cli.report.tally import Tally

PHOTO_KEYS = {
    "schema", "event", "source", "output", "status", "format", "seconds", "megapixels",
    "mask_fraction", "changed_fraction", "damped_fraction", "levels", "device", "precision",
    "faces", "moles_kept", "method", "windows", "reason", "foreign", "error",
    "warnings",
}  # fmt: skip


def job(name="sub/a.jpg", skip=""):
    return Job(Path("in") / name, Path("out") / name, Path(name), "jpeg", skip=skip)


def done(name="sub/a.jpg", warnings=()):
    edit = Edit(0.5, 0.125, 4, "cpu")
    seconds = Seconds(0.08, 2.31, 0.095)
    return Outcome(job(name), "done", seconds, 24.0, edit, warnings=warnings)


def failed(name="b.jpg"):
    return Outcome(job(name), "failed", error=f"in/{name}: is cut short. Fetch it again.")


def skipped(name="c.jpg"):
    return Outcome(job(name, skip="the output is up to date"), "skipped")


def told(capsys, loudness, *outcomes):
    tally = Tally(len(outcomes))
    teller = Teller(loudness)
    with teller.progress(len(outcomes)):
        for outcome in outcomes:
            tally.add(outcome)
            teller.photo(outcome)
    teller.summary(tally, 2.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_photo_s_line_names_size_times_and_share_changed():
    line = photo_line(done())
    for part in ("sub/a.jpg", "24.0 MP", "decode 80 ms", "retouch 2310 ms", "encode 95 ms"):
        assert part in line
    assert "12.5% changed" in line and "50.0% mask" in line


def test_without_a_terminal_lines_are_plain(capsys):
    text = told(capsys, Loudness.NORMAL, done(), failed())
    assert "\x1b" not in text and "\r" not in text
    assert text.splitlines()[0] == photo_line(done())


def test_the_summary_lists_what_failed_and_counts_what_was_left():
    tally = Tally(10)
    for outcome in (done(), skipped(), failed("x.jpg"), failed("y.jpg")):
        tally.add(outcome)
    first, *rest = summary_lines(tally, 2.0)
    assert first == "1 done, 1 skipped, 2 failed, 6 not done in 2.0 s (0.50 photos/s)"
    assert rest == ["failed:", *(f"  in/{n}.jpg: is cut short. Fetch it again." for n in "xy")]


def test_the_summary_names_the_first_that_were_not_done():
    tally = Tally(12)
    tally.add(done())
    for index in range(11):
        tally.add(Outcome(job(f"{index}.jpg"), "not_done"))
    first, second = summary_lines(tally, 2.0)
    assert "11 not done" in first
    assert second == "not done: in/0.jpg, in/1.jpg, in/2.jpg, in/3.jpg, in/4.jpg and 6 more"


def test_outputs_that_are_somebodys_work_are_counted_and_told():
    tally = Tally(2)
    for name in "ab":
        foreign = replace(job(f"{name}.jpg", skip="changed"), foreign=True)
        tally.add(Outcome(foreign, "skipped"))
    first, second = summary_lines(tally, 2.0)
    assert "2 skipped (2 foreign)" in first
    assert second.startswith("2 outputs that are somebody's work, or another photo's, were kept")
    assert photo_event(Outcome(foreign, "skipped"))["foreign"] is True


def test_quiet_tells_errors_only(capsys):
    text = told(capsys, Loudness.QUIET, done(), skipped(), failed())
    assert text == "b.jpg  FAILED: in/b.jpg: is cut short. Fetch it again.\n"


def test_verbose_adds_warnings_and_skips(capsys):
    outcomes = (done(warnings=("It has no profile.",)), skipped())
    plain = told(capsys, Loudness.NORMAL, *outcomes)
    assert "1 warning" in plain and "no profile" not in plain and "up to date" not in plain
    loud = told(capsys, Loudness.VERBOSE, *outcomes)
    assert "sub/a.jpg  warning: It has no profile." in loud
    assert "c.jpg  skipped: the output is up to date" in loud


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("[bold]x[/].jpg", "[bold]x[/].jpg"),
        ("[/nonsense].jpg", "[/nonsense].jpg"),
        (":smile:.jpg", ":smile:.jpg"),
        ("a\nb\x1b[31m.jpg", "a\\nb\\x1b[31m.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
        ("Ärmel 衣.jpg", "Ärmel 衣.jpg"),
    ],
)
def test_names_are_printed_as_they_are_never_read_as_markup(capsys, name, printed):
    text = told(capsys, Loudness.VERBOSE, done(name))
    assert text.startswith(f"{printed}  24.0 MP")


def test_on_a_terminal_a_bar_counts_photos_and_leaves_the_lines_behind(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    teller = Teller(Loudness.NORMAL)
    with teller.progress(3):
        teller.photo(skipped())  # the bar is for what there is to do
        teller.photo(done("[bold]x.jpg"))
        teller.bar.refresh()
    text = screen.getvalue()
    assert "1/2" in text and "photos/s" in text and "ETA" in text
    assert "[bold]x.jpg  24.0 MP" in text


def test_events_carry_every_field_of_the_schema_in_every_status():
    for event in (
        photo_event(done()),
        photo_event(failed()),
        photo_event(skipped()),
        photo_event(Outcome(job(), "not_done")),
        planned_event(job()),
    ):
        assert set(event) == PHOTO_KEYS
        assert event["schema"] == 1 and event["event"] == "photo"


def test_events_tell_what_happened():
    event = photo_event(done(warnings=("It has no profile.",)))
    assert event["seconds"] == {"decode": 0.08, "retouch": 2.31, "encode": 0.095}
    assert (event["mask_fraction"], event["changed_fraction"]) == (0.5, 0.125)
    assert (event["levels"], event["device"]) == (4, "cpu")
    assert event["warnings"] == ["It has no profile."]
    assert photo_event(failed())["error"] == "in/b.jpg: is cut short. Fetch it again."
    assert photo_event(failed())["seconds"] is None
    assert photo_event(skipped())["reason"] == "the output is up to date"


def test_a_dry_run_tells_what_is_known_to_fail(capsys):
    doomed = replace(job("b.jpg"), fault="in/b.jpg: its mask is of another shape. Draw it anew.")
    event = planned_event(doomed)
    assert set(event) == PHOTO_KEYS
    assert (event["status"], event["error"]) == ("failed", doomed.fault)
    Teller(Loudness.NORMAL).plan([job(), doomed, job("c.jpg", skip="the output exists")])
    told = capsys.readouterr().err.splitlines()
    assert told[1] == f"in/b.jpg  FAILS: {doomed.fault}"
    assert told[-1].startswith("1 photo to do, 1 skipped, 1 would fail; nothing was written")
    Teller(Loudness.QUIET).plan([job(), doomed])
    assert capsys.readouterr().err.splitlines() == [told[1]]


def test_ndjson_is_one_line_each_and_the_document_holds_the_same():
    lines, documents = [], []
    events = Events(lines.append, documents.append)
    tally = Tally(2)
    events.tell(plan_event(Setup("retouch", "1.0", "cloth", "w", "cpu"), 2, 0))
    for outcome in (done(os.fsdecode(b"caf\xe9\n.jpg")), failed()):
        tally.add(outcome)
        events.tell(photo_event(outcome))
    events.tell(summary_event(tally, 3.0, 3, ""))
    events.close()
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    parsed = [json.loads(line) for line in lines]
    assert [event["event"] for event in parsed] == ["plan", "photo", "photo", "summary"]
    assert parsed[1]["source"] == "in/caf\\xe9\n.jpg"
    (document,) = map(json.loads, documents)
    assert document["schema"] == 1
    assert document["photos"][1]["error"] == parsed[2]["error"]
    assert document["summary"] == {
        "done": 1,
        "skipped": 0,
        "foreign": 0,
        "failed": 1,
        "not_done": 0,
        "seconds": 3.0,
        "exit_code": 3,
        "error": None,
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (245, "4 min 5 s"), (7380, "2 h 3 min")]
)
def test_durations_are_in_the_units_people_use(seconds, text):
    assert duration(seconds) == text
