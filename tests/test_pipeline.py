"""The pipeline: order, overlap, bounds, and what each kind of failure costs."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abpn_cli.batch.pipeline import Finished, Limits, Stages, run
from abpn_cli.errors import DeviceError, PhotoError, TargetError
from abpn_cli.photo import Edit, Job, Photo

EDIT = Edit(0.5, 0.25, 2, "cpu")
PIXELS = np.zeros((10, 20, 3), np.uint8)


def job(index, skip=""):
    name = Path(f"{index}.png")
    return Job(Path("in") / name, Path("out") / name, name, "png", skip=skip)


def jobs(count):
    return [job(index) for index in range(count)]


def number(job_):
    return int(job_.source.stem)


def decode(job_):
    return Photo(PIXELS, source=job_.source, warnings=("decoded",))


def retouch(job_, photo):
    return Finished(photo, EDIT, (*photo.warnings, "retouched"))


def encode(job_, photo):
    return ("encoded",)


def go(jobs_, limits=None, stopped=lambda: False, cost=lambda job_: 1, **stages):
    work = Stages(
        **{"cost": cost, "decode": decode, "retouch": retouch, "encode": encode, **stages}
    )
    return run(jobs_, work, limits or Limits(), stopped)


def raising(error_of, index):
    """A stage that fails for one photo; error_of makes the error from the photo's path."""

    def check(job_):
        if number(job_) == index:
            raise error_of(job_.source)

    return check


def photo_error(path):
    return PhotoError(path, "is broken", "Mend it.")


def target_error(path):
    return TargetError(path, "disk full", "Free some space.")


class Gauge:
    """Counts photos between decoding and the end of encoding."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def enter(self, by=1):
        with self.lock:
            self.now += by
            self.most = max(self.most, self.now)

    def leave(self, by=1):
        with self.lock:
            self.now -= by


def test_every_job_has_one_outcome_in_order_however_long_each_stage_takes():
    def slow_decode(job_):
        time.sleep(0.02 * (number(job_) % 3 == 0))
        return decode(job_)

    def slow_encode(job_, photo):
        time.sleep(0.02 * (number(job_) % 4 == 0))
        return ()

    outcomes = list(go(jobs(20), decode=slow_decode, encode=slow_encode))
    assert [number(outcome.job) for outcome in outcomes] == list(range(20))
    assert {outcome.status for outcome in outcomes} == {"done"}


def test_an_outcome_tells_times_size_edit_and_the_warnings_of_each_stage():
    def sleepy(job_, photo):
        time.sleep(0.01)
        return retouch(job_, photo)

    (outcome,) = go(jobs(1), retouch=sleepy)
    assert outcome.seconds.retouch >= 0.01
    assert outcome.seconds.decode > 0 and outcome.seconds.encode > 0
    assert outcome.megapixels == pytest.approx(200e-6)
    assert outcome.edit == EDIT
    assert outcome.warnings == ("decoded", "retouched", "encoded")


@pytest.mark.parametrize("stage", ["cost", "decode", "retouch", "encode"])
def test_one_bad_photo_does_not_stop_the_batch(stage):
    check = raising(photo_error, 1)
    good = {"cost": lambda job_: 1, "decode": decode, "retouch": retouch, "encode": encode}[stage]

    def bad(job_, *rest):
        check(job_)
        return good(job_, *rest)

    outcomes = list(go(jobs(4), **{stage: bad}))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done", "done"]
    assert outcomes[1].error == "in/1.png: is broken. Mend it."


@pytest.mark.parametrize("stage", ["decode", "retouch", "encode"])
def test_a_bug_is_not_caught(stage):
    def bug(job_, *rest):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(go(jobs(3), **{stage: bug}))


def test_a_full_disk_stops_the_run_and_starts_no_more_photos():
    check = raising(target_error, 2)
    seen = []

    def full(job_, photo):
        check(job_)
        return ()

    def noting(job_, photo):
        seen.append(number(job_))
        time.sleep(0.01)
        return retouch(job_, photo)

    told = []
    with pytest.raises(TargetError, match="disk full"):
        for outcome in go(jobs(100), encode=full, retouch=noting):
            told.append((number(outcome.job), outcome.status))
    assert told[:3] == [(0, "done"), (1, "done"), (2, "failed")]
    assert [index for index, _ in told] == seen  # whatever was written is told of
    assert len(seen) < 10


def test_a_device_that_fails_stops_the_run_after_what_is_being_written():
    check = raising(lambda path: DeviceError("out of memory"), 2)
    written = []

    def lost(job_, photo):
        check(job_)
        return retouch(job_, photo)

    def slow(job_, photo):
        time.sleep(0.05)
        written.append(number(job_))
        return ()

    statuses = []
    with pytest.raises(DeviceError, match="out of memory"):
        for outcome in go(jobs(50), retouch=lost, encode=slow):
            statuses.append(outcome.status)
    assert statuses == ["done", "done", "failed"]
    assert sorted(written) == [0, 1]


def test_skipped_photos_are_told_in_their_place_and_never_opened():
    mixed = [job(0), job(1, skip="up to date"), job(2, skip="up to date"), job(3)]
    opened = []

    def noting(job_):
        opened.append(number(job_))
        return decode(job_)

    statuses = [outcome.status for outcome in go(mixed, decode=noting)]
    assert statuses == ["done", "skipped", "skipped", "done"]
    assert opened == [0, 3]


def test_never_more_photos_in_hand_than_allowed():
    gauge = Gauge()

    def counting_decode(job_):
        gauge.enter()
        return decode(job_)

    def counting_encode(job_, photo):
        time.sleep(0.005)
        gauge.leave()
        return ()

    limits = Limits(photos=3, decoders=4, encoders=4)
    assert len(list(go(jobs(40), limits, decode=counting_decode, encode=counting_encode))) == 40
    assert 2 <= gauge.most <= 3


def test_memory_stays_within_its_budget_and_a_photo_above_it_goes_alone():
    costs = [30, 30, 200, 30, 90, 30, 30, 30]
    gauge = Gauge()
    alone = []

    def counting_decode(job_):
        gauge.enter(costs[number(job_)])
        if number(job_) == 2:
            alone.append(gauge.now)
        return decode(job_)

    def counting_encode(job_, photo):
        time.sleep(0.005)
        gauge.leave(costs[number(job_)])
        return ()

    limits = Limits(photos=8, bytes=100, decoders=4, encoders=4)
    outcomes = go(
        jobs(8),
        limits,
        cost=lambda job_: costs[number(job_)],
        decode=counting_decode,
        encode=counting_encode,
    )
    assert len(list(outcomes)) == 8
    assert alone == [200]
    assert gauge.most == 200


def test_jobs_are_taken_from_the_list_only_as_there_is_room():
    taken = []

    def feed():
        for item in jobs(1000):
            taken.append(item)
            yield item

    outcomes = go(feed(), Limits(photos=4))
    for _ in range(10):
        next(outcomes)
    assert len(taken) < 30
    outcomes.close()


def test_decoding_and_encoding_overlap_with_the_network():
    """Three photos meet, each in another stage: one after the other they never would."""
    meeting = threading.Barrier(3, timeout=20)

    def meet(job_, which):
        if number(job_) == which:
            meeting.wait()

    outcomes = go(
        jobs(4),
        decode=lambda job_: meet(job_, 2) or decode(job_),
        retouch=lambda job_, photo: meet(job_, 1) or retouch(job_, photo),
        encode=lambda job_, photo: meet(job_, 0) or (),
    )
    assert [outcome.status for outcome in outcomes] == ["done"] * 4


def test_the_network_never_waits_for_the_encoder_while_a_photo_is_ready():
    release = threading.Event()
    retouched = []

    def blocked(job_, photo):
        if number(job_) == 0:
            assert release.wait(10)
        return ()

    def noting(job_, photo):
        retouched.append(number(job_))
        if number(job_) == 2:  # reached although photo 0 is still being written
            release.set()
        return retouch(job_, photo)

    outcomes = list(go(jobs(4), Limits(photos=4, encoders=2), retouch=noting, encode=blocked))
    assert len(outcomes) == 4
    assert retouched == [0, 1, 2, 3]


def test_asked_to_stop_it_finishes_what_is_written_and_starts_no_more():
    stop, ahead = threading.Event(), threading.Event()
    started, written = [], []

    def decode_ahead(job_):
        if number(job_) == 5:
            ahead.set()
        return decode(job_)

    def noting(job_, photo):
        started.append(number(job_))
        if number(job_) == 3 and ahead.wait(10):  # 4 is decoded, and is not to be begun
            stop.set()
        return retouch(job_, photo)

    def slow(job_, photo):
        time.sleep(0.02)
        written.append(number(job_))
        return ()

    stages = {"decode": decode_ahead, "retouch": noting, "encode": slow}
    outcomes = list(go(jobs(100), Limits(photos=8, decoders=1), stop.is_set, **stages))
    assert started == [0, 1, 2, 3]
    assert sorted(written) == started
    assert [number(outcome.job) for outcome in outcomes] == started


def test_left_half_way_it_leaves_no_thread_behind():
    before = threading.active_count()
    outcomes = go(jobs(50))
    next(outcomes)
    outcomes.close()
    assert threading.active_count() == before


def test_no_photo_outlives_its_writing():
    alive = Gauge()

    class Tracked(Photo):
        def __del__(self):
            alive.leave()

    def tracked(job_):
        alive.enter()
        return Tracked(PIXELS)

    def no_change(job_, photo):
        return Finished(photo, EDIT, ())

    list(go(jobs(30), Limits(photos=3), decode=tracked, retouch=no_change))
    assert alive.now == 0
    assert alive.most <= 4


def test_settling_runs_ahead_in_threads_and_its_skips_are_told_in_order():
    threads = set()

    def settle(job_):
        threads.add(threading.get_ident())
        time.sleep(0.01)
        return replace(job_, skip="up to date") if number(job_) % 3 == 0 else job_

    opened = []
    outcomes = list(go(jobs(12), settle=settle, decode=lambda j: opened.append(j) or decode(j)))
    assert [number(outcome.job) for outcome in outcomes] == list(range(12))
    assert [outcome.status for outcome in outcomes] == ["skipped", "done", "done"] * 4
    assert not [job_ for job_ in opened if number(job_) % 3 == 0]
    assert threading.get_ident() not in threads and len(threads) == 2


def test_the_first_photo_is_done_before_the_last_is_settled():
    settled = []

    def settle(job_):
        settled.append(number(job_))
        return job_

    outcomes = go(jobs(1000), settle=settle)
    next(outcomes)
    assert len(settled) < 50
    outcomes.close()


def test_a_photo_that_cannot_be_settled_costs_itself_alone():
    check = raising(photo_error, 1)
    outcomes = list(go(jobs(4), settle=lambda job_: check(job_) or job_))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done", "done"]


def test_a_large_photo_waits_for_room_and_is_not_passed_by_the_small_ones_behind_it():
    """1 and 100 MP mixed: the bound holds, and the large one is begun in its turn."""
    large, order, gauge = 100, [], Gauge()

    def cost(job_):
        return large if number(job_) % 10 == 5 else 1

    def counting_decode(job_):
        gauge.enter(cost(job_))
        order.append(number(job_))
        return decode(job_)

    def counting_encode(job_, photo):
        time.sleep(0.002)
        gauge.leave(cost(job_))
        return ()

    limits = Limits(photos=6, bytes=102, decoders=1, encoders=2)
    stages = {"cost": cost, "decode": counting_decode, "encode": counting_encode}
    assert len(list(go(jobs(40), limits, **stages))) == 40
    assert order == list(range(40))
    assert large < gauge.most <= 102
