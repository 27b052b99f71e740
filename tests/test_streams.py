"""Streams that are closed, full or unread: what it costs, and what it does not."""

import json
import os
from pathlib import Path

import pytest
from command import start
from shoots import files

pytestmark = pytest.mark.slow


def words(checkpoint, *more):
    return ("retouch", "in", "-o", "done", "--weights", checkpoint, *more)


def test_a_stdout_that_is_full_stops_the_run_with_7(shoot, checkpoint):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with (
        full.open("w") as sink,
        start(*words(checkpoint, "--ndjson"), cwd=shoot, stdout=sink) as process,
    ):
        _, err = process.communicate(timeout=300)
    assert process.returncode == 7
    assert "stdout: cannot be written" in err and "Traceback" not in err


def test_a_closed_stderr_costs_the_words_not_the_photos(shoot, checkpoint):
    def close():
        os.close(2)

    with start(*words(checkpoint, "--ndjson"), cwd=shoot, preexec_fn=close) as process:
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["done"] == 3
    assert files(shoot / "done") == ["a.jpg", "sub/b.png", "sub/c.tif"]


def test_a_closed_stdout_is_refused_where_results_are_asked_for(shoot, checkpoint):
    def close():
        os.close(1)

    for asked, code in (["--ndjson"], 7), (["--json", "-"], 7), ([], 0):
        with start(*words(checkpoint, *asked), cwd=shoot, preexec_fn=close) as process:
            _, err = process.communicate(timeout=300)
        assert process.returncode == code, err
        assert "Traceback" not in err


@pytest.mark.parametrize("gone", ["reader", "room"])
def test_a_stderr_that_cannot_be_written_costs_the_words_not_the_photos(shoot, checkpoint, gone):
    full = Path("/dev/full")
    if gone == "room" and not full.exists():
        pytest.skip("no /dev/full here")
    (shoot / "in" / "empty.jpg").write_bytes(b"")
    reader, writer = os.pipe()
    os.close(reader)
    with (
        full.open("w") if gone == "room" else os.fdopen(writer, "w") as sink,
        start(*words(checkpoint, "--ndjson"), cwd=shoot, stderr=sink) as process,
    ):
        out, _ = process.communicate(timeout=300)
    if gone == "room":
        os.close(writer)
    assert process.returncode == 3
    assert json.loads(out.splitlines()[-1])["done"] == 3
    assert files(shoot / "done") == ["a.jpg", "sub/b.png", "sub/c.tif"]
