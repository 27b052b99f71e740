"""One budget of threads: who computes holds a core, who waits holds none, nobody waits forever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import command
import numpy as np
import pytest
import torch

from abpn_cli.batch.pipeline import Finished, Limits, Stages, run
from abpn_cli.commands import options
from abpn_cli.commands import shoot as shoot_verbs
from abpn_cli.cores import Cores, available
from abpn_cli.engine.crew import Crew
from abpn_cli.errors import UsageError, WeightsError
from abpn_cli.photo import Edit, Job, Photo


class Gauge:
    """Counts who computes at the same time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def work(self, *_):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002)
        with self.lock:
            self.now -= 1


def held(cores, gauge):
    with cores.one():
        gauge.work()


def test_no_more_threads_compute_than_there_are_cores():
    cores, gauge = Cores(3), Gauge()
    with ThreadPoolExecutor(12) as crew:
        for done in [crew.submit(held, cores, gauge) for _ in range(60)]:
            done.result()
    assert gauge.most == 3


def test_a_thread_that_waits_lets_another_have_its_core():
    cores, gauge = Cores(1), Gauge()
    with ThreadPoolExecutor(1) as crew, cores.one():
        other = crew.submit(held, cores, gauge)
        time.sleep(0.05)
        assert gauge.most == 0
        with cores.lent():
            other.result(timeout=60)
        assert gauge.most == 1
        with cores.more(2) as threads:  # it holds its own again
            assert threads == 1


def test_only_cores_that_are_free_are_taken_on_top_and_they_come_back():
    cores = Cores(4)
    with cores.one():
        with cores.more(3) as threads, cores.more(3) as fewer:
            assert (threads, fewer) == (3, 2)
        with cores.more(9) as threads:
            assert threads == 4


@pytest.mark.parametrize("count", [1, 2])
def test_decoding_tiles_and_encoding_share_the_cores_of_a_run(count):
    cores, gauge = Cores(count), Gauge()
    crew = Crew(cores)
    edit = Edit(0.5, 0.25, 2, "cpu")
    pixels = np.zeros((4, 4, 3), np.uint8)

    def retouch(job, photo):
        gauge.work()
        crew.each(gauge.work, range(6))
        with crew.together():
            assert torch.get_num_threads() <= count
        return Finished(photo, edit, ())

    def decode(job):
        gauge.work()
        return Photo(pixels, source=job.source)

    def encode(job, photo):
        gauge.work()
        return ()

    stages = Stages(lambda job: 1, decode, retouch, encode)
    names = [Path(f"{number}.png") for number in range(8)]
    jobs = [Job(Path("in") / name, Path("out") / name, name, "png") for name in names]
    limits = Limits(photos=9, decoders=4, encoders=4)
    outcomes = list(run(jobs, stages, limits, lambda: False, cores))
    assert [outcome.status for outcome in outcomes] == ["done"] * 8
    assert gauge.most == count


def test_a_crew_gives_torch_the_cores_that_are_free_and_takes_them_back():
    allowed = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        cores = Cores(2)
        crew = Crew(cores)
        with cores.one():
            with crew.together():
                assert torch.get_num_threads() == 2
            with cores.more(2), crew.together():  # as when a photo is being encoded
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(allowed)


def test_jobs_is_how_many_cores_are_used_and_all_by_default():
    assert options.core_count(3) == 3
    assert options.core_count(None) == available() >= 1
    assert options.worker_count(100) == options.MOST_WORKERS
    with pytest.raises(UsageError, match="--jobs 0"):
        options.core_count(0)


def test_decoders_start_before_the_networks_are_loaded_and_end_where_that_fails(
    shoot, checkpoint, monkeypatch
):
    pools, alive = [], []
    make_pool = shoot_verbs.make_pool

    def noted(*arguments):
        pools.append(make_pool(*arguments))
        return pools[-1]

    def fails(*_):
        alive.extend(pools[-1].pids())
        raise WeightsError(checkpoint, "is torn", "Mend it.")

    monkeypatch.setattr(shoot_verbs, "make_pool", noted)
    monkeypatch.setattr(shoot_verbs, "load_engine", fails)
    for verb in ("retouch", "mask"):
        alive.clear()
        code, _, words = command.abpn(verb, "in", "-o", verb, "--weights", checkpoint, cwd=shoot)
        assert (code, "is torn" in words) == (5, True)
        assert alive
        assert pools[-1].pids() == []
        assert not (shoot / verb).exists()


TORCH_COMES = """
import gc
from abpn_cli.commands.late import torch_coming
with torch_coming():
    import torch
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
with torch_coming():
    frozen = gc.get_freeze_count()
print(gc.get_freeze_count() == frozen)
"""


def test_what_torch_brings_is_not_searched_for_garbage_again():
    done = subprocess.run(
        [sys.executable, "-c", TORCH_COMES], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "True"]
