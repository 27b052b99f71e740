"""Ctrl-C, SIGTERM and hang-ups: the first is a wish, the second an order."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from command import send, start
from shoots import files, leftovers, load, many, picture, save, tree

from abpn_cli.batch.stop import SIGNALS, stop_on_signals


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal():
    """Take hang-ups as a terminal gives them, under nohup too; what is started inherits it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def heard(process):
    """Wait until a run says that it is stopping."""
    while "stopping" not in (line := process.stderr.readline()):
        assert line, "the run has ended"


def test_a_first_signal_is_a_wish_and_a_second_an_order():
    left = []
    with stop_on_signals(left.append) as stop:
        assert not stop.asked() and stop.exit_code == 0
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked() and stop.exit_code == 143
        assert left == []
        signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == 143
    assert set(left) == {143}


def test_signals_are_given_back_where_none_came():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_comes_late_does_not_replace_the_exit_code():
    """The photos in hand may be done, and the last words said, before the second one comes."""
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)  # kills this process where it is heeded
    assert stop.exit_code == 130


def test_a_second_signal_is_heeded_while_the_main_thread_is_deep_in_a_computation():
    """Python runs no handler then: here they are blocked from the main thread altogether."""
    left = threading.Event()
    with stop_on_signals(lambda code: left.set()):
        signal.raise_signal(signal.SIGINT)
        rope = signal.set_wakeup_fd(-1)
        os.write(rope, bytes([signal.SIGINT] * 2))  # as the kernel's handler does, at once
        assert left.wait(60)
        signal.set_wakeup_fd(rope)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_each_signal_has_its_exit_code(number, code):
    with stop_on_signals() as stop:
        signal.raise_signal(number)
        assert stop.exit_code == code


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.asked()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "sigterm", "hang-up"],
)
def test_a_signal_stops_cleanly(tmp_path, checkpoint, hold, number, code):
    """The tenth photo is not decoded before the signal has come, so that most are not done."""
    for index in range(60):
        save(tmp_path / "in" / f"{index:02}.png", picture(240, 320))
    command = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--ndjson")
    hold.at("decode", "10.png")
    with start(*command, cwd=tmp_path, env=hold.environment) as process:
        lines = [process.stdout.readline() for _ in range(4)]
        hold.reached("decode")
        send(process, number)
        heard(process)
        hold.go("decode")
        rest = process.stdout.read()  # communicate() would lose what readline() has buffered
        err = process.stderr.read()
    assert process.returncode == code
    events = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    summary = events[-1]
    assert summary["exit_code"] == code and summary["not_done"] > 30
    assert len(events) == 62, "one event each, the plan and the summary"
    told = sorted(Path(e["output"]).name for e in events[1:-1] if e["status"] == "done")
    assert len(told) == 60 - summary["not_done"]
    assert files(tmp_path / "done") == told, "every file is told of, and whole"
    for name in told:
        assert load(tmp_path / "done" / name).shape == (240, 320, 3)
    assert "not done: in/" in err and "Traceback" not in err


def test_a_second_signal_stops_at_once_and_leaves_no_half_file(tmp_path, checkpoint, hold):
    """While a photo is held in mid-write no run can come to a clean end."""
    many(tmp_path, 12)
    words = ("retouch", "in", "-o", "done", "--weights", checkpoint, "--format", "tiff", "--ndjson")
    hold.at("flush")
    with start(*words, cwd=tmp_path, env=hold.environment) as process:
        hold.reached("flush")
        assert leftovers(tmp_path / "done")
        send(process, signal.SIGTERM)
        # of two signals that wait together, the kernel hands over the lower number first
        heard(process)
        send(process, signal.SIGINT)
        process.wait(60)
        err = process.stderr.read()
    assert process.returncode == 143
    assert "Traceback" not in err
    assert tree(tmp_path / "done") == {}
