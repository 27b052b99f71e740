"""A shoot done by everything but the network, in processes that are cheap to start and to kill.

Run as a script it answers on stdout: for each line of stdin, the root of a studio and a strength,
the number of the process that does the shoot, and, when that has ended, how (as of `os.waitpid`).

Beside it stand moments to kill a run at: each waits for its own, given the output folder and the
number of the process, and not beyond the end of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
from command import Hold

from abpn_cli import codecs
from abpn_cli.batch.journal import Run
from abpn_cli.batch.keeper import keep_journal
from abpn_cli.batch.pipeline import Finished, Limits, Stages, run
from abpn_cli.batch.plan import Naming, make_jobs
from abpn_cli.batch.resume import Reading, Resume
from abpn_cli.batch.sources import find_sources
from abpn_cli.commands.delivery import Product, Writer
from abpn_cli.cores import Cores
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Edit

EDIT = Edit(1.0, 1.0, 1, "cpu")


def retouch_shoot(root: Path, strength: float) -> list[str]:
    """Do ROOT/in into ROOT/out; return the status of each photo. The edit is made up."""
    out = root / "out"
    made_with = Run("1.0", "retouch", "made up", "0" * 64, {"strength": strength})
    sources = find_sources([root / "in"], codecs.sniff, codecs.PHOTO_SUFFIXES)
    naming = Naming(out, codecs.PHOTO_SUFFIXES, lambda source: _format(source), keep_mask=True)

    def retouch(job, photo):
        pixels = photo.pixels + np.array(round(strength * 10), photo.pixels.dtype)
        mask = photo.pixels[..., 0].astype(np.uint8)  # the low bits will do
        return Finished(Product(replace(photo, pixels=pixels), mask), EDIT, ())

    with keep_journal(out) as keeper:
        keeper.begin(made_with)
        reading = Reading(
            lambda job: {f"sidecar {read.name}": read for read, _ in job.sidecars},
            _is_whole,
            [made_with],
        )
        writer = Writer(codecs.EncodeOptions(), False, keeper, Cores(2))
        stages = Stages(
            cost=lambda job: 1,
            decode=lambda job: codecs.decode(job.source),
            retouch=retouch,
            encode=writer.write,
            settle=Resume(out, "changed", keeper.ledger, reading).settle,
        )
        jobs = make_jobs(sources, naming)
        outcomes = keeper.failures(run(jobs, stages, Limits(), lambda: False))
        return [outcome.status for outcome in outcomes]


def _format(source):
    return "tiff" if source.kind == "png" else source.kind


def _is_whole(path: Path) -> bool:
    try:
        codecs.decode(path)
    except PhotoError:
        return False
    return True


class Nursery:
    """The script, started; each shoot is a fork of it, with everything imported already.

    hold: what holds the shoots up where a test says so.
    """

    def __init__(self, hold: Hold) -> None:
        here = Path(__file__)
        self.hold = hold
        paths = [hold.environment["PYTHONPATH"], str(here.parent)]
        self._process = subprocess.Popen(
            [sys.executable, str(here)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**hold.environment, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def start(self, root: Path, strength: float) -> int:
        """Start a shoot; return the number of its process."""
        self._process.stdin.write(f"{root}\t{strength}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def ended(self) -> int:
        """Wait for the shoot; return how it ended: 0, or minus the signal."""
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the script."""
        self._process.communicate()


def after(seconds):
    """Wait some seconds."""
    return lambda out, process: time.sleep(seconds)


def names_in(folder):
    return {Path(place, name) for place, _, names in os.walk(folder) for name in names}


def at_change(count):
    """Wait until a file has come or gone so many times."""

    def wait(out, process):
        seen, changes = names_in(out), 0
        while changes < count and Path(f"/proc/{process}/cmdline").exists():
            now = names_in(out)
            changes += now != seen
            seen = now

    return wait


def in_mid_write(seconds):
    """Wait for an unfinished file, and then some seconds."""

    def wait(out, process):
        while Path(f"/proc/{process}/cmdline").exists():
            if any(path.suffix == codecs.TEMP_SUFFIX for path in names_in(out)):
                time.sleep(seconds)
                return

    return wait


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        root, strength = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                bad = set(retouch_shoot(Path(root), float(strength))) - {"done", "skipped"}
                status = 2 if bad else 0
            except Exception:  # noqa: BLE001 (a child must not go on as its parent)
                traceback.print_exc()
            os._exit(status)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{ended}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
