from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import pattern, srgb_profile, write_dng, write_jpeg, write_png, write_tiff

from abpn_cli.codecs import DamagedError, DecodeOptions, DecodePool, decode, worker
from abpn_cli.codecs import pool as pool_module
from abpn_cli.codecs.plain import unpacked
from abpn_cli.codecs.pool import seconds_allowed
from abpn_cli.codecs.protocol import Request, receive
from abpn_cli.errors import PhotoError
from abpn_cli.photo import Photo


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    alpha = np.dstack([pattern(60, 80, np.uint16), pattern(60, 80, np.uint16)[..., 0]])
    return [
        write_jpeg(tmp_path / "a.jpg", pattern(121, 163), srgb_profile()),
        write_png(tmp_path / "b.png", alpha),
        write_tiff(tmp_path / "c.tif", pattern(70, 50, np.uint16)),
    ]


def test_photos_from_the_pool_are_those_decoded_here(photos: list[Path]) -> None:
    with DecodePool(2) as pool:
        for path in photos * 2:
            there, here = pool.decode(path), decode(path)
            assert there.pixels.dtype == here.pixels.dtype
            assert np.array_equal(there.pixels, here.pixels)
            assert there.metadata == here.metadata
            assert there.source == path
            assert there.warnings == here.warnings
            if here.alpha is None:
                assert there.alpha is None
            else:
                assert np.array_equal(there.alpha, here.alpha)


def test_pixels_are_writable_and_outlive_the_pool(photos: list[Path]) -> None:
    with DecodePool(1) as pool:
        photo = pool.decode(photos[0])
    photo.pixels[0, 0] = 7
    assert photo.pixels[0, 0].tolist() == [7, 7, 7]


def test_many_threads_share_the_processes(photos: list[Path]) -> None:
    with DecodePool(2) as pool, ThreadPoolExecutor(6) as threads:
        decoded = list(threads.map(pool.decode, photos * 6))
        assert len(pool.pids()) == 2
    assert [photo.source for photo in decoded] == photos * 6


def test_a_bad_photo_is_its_own_error_and_the_process_goes_on(
    photos: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(photos[0].read_bytes()[:3000])
    with DecodePool(1) as pool:
        before = pool.pids()
        with pytest.raises(PhotoError, match="bad.jpg") as caught:
            pool.decode(bad)
        assert caught.value.path == bad
        with pytest.raises(PhotoError, match="not there"):
            pool.decode(tmp_path / "missing.jpg")
        assert pool.decode(photos[0]).pixels.shape == (121, 163, 3)
        assert pool.pids() == before


def test_what_a_decoder_writes_goes_into_the_error_and_not_to_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = pattern(20, 30)
    whole = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    stream = whole[:-1] + bytes([whole[-1] ^ 1])  # libpng grumbles about the check sum inside

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", stream), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with DecodePool(1) as pool:
        with pytest.raises(DamagedError, match=r"a\.png: .*\(libpng error.*\)\. Restore"):
            pool.decode(path)
        path.write_bytes(path.read_bytes().replace(chunk(b"IDAT", stream), chunk(b"IDAT", whole)))
        assert pool.decode(path).warnings == ()
    assert capfd.readouterr().err == ""


def test_the_pixel_limit_reaches_the_processes(photos: list[Path]) -> None:
    with (
        DecodePool(1, DecodeOptions(max_pixels=1000)) as pool,
        pytest.raises(PhotoError, match="megapixels"),
    ):
        pool.decode(photos[0])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a process has been asked for something, and its answer is waited for."""
    event = threading.Event()
    receive_ = pool_module._Child._receive

    def receiving(child: Any, deadline: float) -> Any:
        event.set()
        return receive_(child, deadline)

    monkeypatch.setattr(pool_module._Child, "_receive", receiving)
    return event


def test_a_process_killed_at_work_costs_one_photo(
    photos: list[Path], asked: threading.Event
) -> None:
    with DecodePool(1) as pool, ThreadPoolExecutor(1) as thread:
        pool.decode(photos[0])
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGSTOP)
        asked.clear()
        at_work = thread.submit(pool.decode, photos[0])
        assert asked.wait(60)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(PhotoError, match="decoder died.*SIGKILL"):
            at_work.result(timeout=60)
        assert pool.decode(photos[0]).pixels.shape == (121, 163, 3)
        assert pool.pids() != [pid]


def test_a_process_that_died_between_photos_costs_none(photos: list[Path]) -> None:
    with DecodePool(1) as pool:
        pool.decode(photos[0])
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # until it is dead
        assert pool.decode(photos[0]).pixels.shape == (121, 163, 3)


def test_a_process_that_hangs_costs_one_photo(photos: list[Path]) -> None:
    limit = {"seconds": 60.0}
    with DecodePool(1, time_limit=lambda _: limit["seconds"]) as pool:
        pool.decode(photos[0])
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGSTOP)  # as a decoder in an endless loop: alive and silent
        limit["seconds"] = 0.3
        start = time.monotonic()
        with pytest.raises(PhotoError, match="took longer"):
            pool.decode(photos[0])
        assert time.monotonic() - start < 60
        limit["seconds"] = 60.0
        assert pool.decode(photos[0]).pixels.shape == (121, 163, 3)


def test_larger_files_are_allowed_more_time() -> None:
    assert seconds_allowed(0) >= 30
    assert seconds_allowed(1_000_000_000) > seconds_allowed(1_000_000) + 100


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_processes_take_no_more_memory_than_their_photos_may_need(photos: list[Path]) -> None:
    with DecodePool(1, DecodeOptions(max_pixels=1_000_000)) as pool:
        pool.decode(photos[0])
        (pid,) = pool.pids()
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max data size")]
    assert 10**9 < int(line.split()[3]) < 3 * 10**9


def test_a_photo_that_takes_too_much_memory_is_its_own_error(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(path: Path, options: DecodeOptions) -> Photo:
        raise MemoryError

    monkeypatch.setattr(worker, "decode", greedy)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.answer(theirs, Request(photos[0], DecodeOptions()))
        error = unpacked(receive(ours) or b"")
    assert isinstance(error, PhotoError)
    assert error.path == photos[0]
    assert "memory" in error.fault


def test_damage_is_never_accepted_in_masks(photos: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "mask.png"
    cut.write_bytes(photos[1].read_bytes()[:-2000])
    with DecodePool(1, DecodeOptions(accept_damaged=True)) as pool:
        assert pool.decode(cut).warnings
        with pytest.raises(PhotoError, match="cut short"):
            pool.decode_whole(cut)


def test_a_header_that_kills_its_library_costs_that_photo(
    tmp_path: Path, asked: threading.Event
) -> None:
    path = write_dng(tmp_path / "a.dng", pattern(64, 96, np.uint16))
    with DecodePool(1) as pool, ThreadPoolExecutor(1) as thread:
        assert pool.probe(path).size == (64, 96)
        (pid,) = set(pool.pids()) - {child.pid for child in list(pool._idle.queue) if child}
        os.kill(pid, signal.SIGSTOP)
        asked.clear()
        waiting = thread.submit(pool.probe, path)
        assert asked.wait(60)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(PhotoError, match="decoder died.*SIGKILL"):
            waiting.result(timeout=60)
        assert pool.probe(path).size == (64, 96)


def test_leaving_the_pool_ends_its_processes(photos: list[Path]) -> None:
    with DecodePool(2) as pool:
        pool.decode(photos[0])
        pids = pool.pids()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_processes_do_not_import_the_heavy_rooms(photos: list[Path]) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    with DecodePool(1) as pool:
        pool.decode(photos[0])
        (pid,) = pool.pids()
        mapped = Path(f"/proc/{pid}/maps").read_text()
    assert "simplejpeg" in mapped
    assert "libtorch" not in mapped


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_descriptors_or_mappings_are_left_behind(photos: list[Path]) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        maps = Path("/proc/self/maps").read_text().count("abpn-photo")
        return len(list(Path("/proc/self/fd").iterdir())), maps

    with DecodePool(1) as pool:
        pool.decode(photos[0])
        before = held()
        for path in photos * 3:
            pool.decode(path)
        assert held() == before


def test_a_thread_waiting_for_a_process_gets_the_next_free_one(photos: list[Path]) -> None:
    with DecodePool(1) as pool:
        pool.decode(photos[0])
        done: list[int] = []
        threads = [
            threading.Thread(target=lambda: done.append(pool.decode(photos[2]).pixels.shape[0]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert done == [70] * 4


def test_a_closed_pool_lets_nobody_wait_for_ever(
    photos: list[Path], asked: threading.Event
) -> None:
    with ThreadPoolExecutor(3) as threads:
        with DecodePool(1) as pool:
            pool.decode(photos[0])
            (pid,) = pool.pids()
            os.kill(pid, signal.SIGSTOP)
            asked.clear()
            waiting = [threads.submit(pool.decode, photos[0]) for _ in range(3)]
            assert asked.wait(60)
        errors = [future.exception(timeout=60) for future in waiting]
    kinds = sorted(type(error).__name__ for error in errors)
    assert kinds == ["PhotoError", "RuntimeError", "RuntimeError"]
    with pytest.raises(RuntimeError, match="closed"):
        pool.decode(photos[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
