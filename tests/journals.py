"""A studio of one photo, whose journal tests look into."""

from __future__ import annotations

import json
from functools import partial
from hashlib import sha256
from pathlib import Path

from abpn_cli.batch.journal import JOURNAL_NAME, Run, read_journal
from abpn_cli.batch.keeper import keep_journal
from abpn_cli.batch.resume import Reading, Resume
from abpn_cli.files import write_atomic
from abpn_cli.photo import Job

RUN = Run("1.0", "retouch", "cloth", sha256(b"weights").hexdigest(), {"strength": 1.0})


def write(path, content=b"photo"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def digest(path):
    return sha256(path.read_bytes()).hexdigest()


class Studio:
    """One photo in, one out; retouching is turning its bytes round."""

    def __init__(self, root, name="sub/a.tif", mask=False, sidecar=False):
        self.out = root / "out"
        self.source = write(root / "in" / name, b"photo as shot")
        self.target = self.out / name
        self.only = write(root / "only.png", b"mask")
        self.mask = self.target.with_suffix(".mask") if mask else None
        self.sidecars = ()
        if sidecar:
            read = write(self.source.with_suffix(".xmp"), b"<x/>")
            self.sidecars = ((read, self.target.with_suffix(".xmp")),)
        self.job = Job(
            self.source, self.target, Path(name), "tiff", sidecars=self.sidecars, mask=self.mask
        )
        self.run = RUN

    def settle(self, overwrite="changed", ledger=None):
        def is_whole(path):
            return b"torn" not in path.read_bytes()

        def inputs(job):
            return {"only": self.only} | {f"sidecar {r.name}": r for r, _ in job.sidecars}

        ledger = ledger or read_journal(self.out)
        reading = Reading(inputs, is_whole, [self.run])
        return Resume(self.out, overwrite, ledger, reading).settle(self.job)

    def retouch(self, overwrite="changed", until="the end"):
        """Do the photo if it needs it; stop where a kill would."""
        with keep_journal(self.out) as keeper:
            keeper.begin(self.run)
            job = self.settle(overwrite, keeper.ledger)
            if job.skip:
                return job
            delivery = keeper.delivery(job)
            strength = str(self.run.settings["strength"]).encode()
            if job.mask:
                content = b"mask " + strength
                write_atomic(job.mask, lambda p: p.write_bytes(content), delivery.ready(job.mask))
            for read, written in job.sidecars:
                copy = partial(Path.write_bytes, data=read.read_bytes())
                write_atomic(written, copy, delivery.ready(written))
            if until == "the companions":
                return job
            data = job.source.read_bytes()[::-1] + strength
            ready = delivery.ready(job.target)
            if until == "the intent":
                ready(write(job.target.parent / "temp", data))
                (job.target.parent / "temp").unlink()
                return job
            write_atomic(job.target, lambda p: p.write_bytes(data), ready)
            if until == "the name":
                return job
            delivery.done(digest(job.source))
            return job


def lines(out):
    return [json.loads(line) for line in (out / JOURNAL_NAME).read_bytes().splitlines()]
