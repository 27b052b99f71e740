"""The engine's limits: what it refuses and in which words, devices, memory, threads."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import CONFIG, photo_of, save, untrained

from abpn_cli.engine import Retoucher, choose_device
from abpn_cli.engine.crew import Crew
from abpn_cli.engine.memory import MASK_BYTES_PER_PIXEL
from abpn_cli.errors import DeviceError, PhotoError, UsageError
from abpn_cli.photo import Photo


@pytest.mark.parametrize("size", [(15, 400), (400, 15), (1, 1)])
def test_a_photo_under_16_px_is_refused(retoucher, size):
    with pytest.raises(PhotoError, match=r"coat\.png: .* too few\. Both sides .* 16 pixels\."):
        retoucher.retouch(photo_of(*size))


def test_a_photo_that_does_not_fit_the_memory_allowed_is_refused(checkpoint):
    retoucher = Retoucher(checkpoint, device="cpu", max_bytes=2**20)
    with pytest.raises(PhotoError, match=r"GiB of memory, .* Raise --max-memory"):
        retoucher.retouch(photo_of(300, 200))
    with pytest.raises(PhotoError, match="--max-memory"):
        retoucher.gate(photo_of(300, 200))


@pytest.mark.parametrize("part", ["lrl.retouch_branch", "lrl.mask_branch", "refining"])
def test_values_that_are_no_numbers_are_that_photos_error(tmp_path, part):
    net = untrained()
    with torch.no_grad():
        for parameter in net.get_submodule(part).parameters():
            parameter.fill_(float("nan"))
    retoucher = Retoucher(save(net, tmp_path / "nan.safetensors"), device="cpu")
    with pytest.raises(PhotoError, match=r"no numbers\. Use --precision float32"):
        retoucher.retouch(photo_of(600, 500))


def test_weights_with_too_few_refining_modules_are_told(tmp_path):
    net = untrained(replace(CONFIG, refine_shared=False, levels=2))
    retoucher = Retoucher(save(net, tmp_path / "paper.safetensors"), device="cpu")
    assert retoucher.retouch(photo_of(64, 1030))[1].levels == 2
    with pytest.raises(PhotoError, match=r"takes 3 refining modules, paper\.safetensors holds 2"):
        retoucher.retouch(photo_of(64, 2050))


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1", ""])
def test_an_unknown_device_is_wrong_usage(wanted):
    with pytest.raises(UsageError, match="unknown device"):
        choose_device(wanted)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_asking_for_cuda_without_one_fails_with_exit_6(monkeypatch, checkpoint, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="Use --device cpu") as error:
        Retoucher(checkpoint, device=wanted)
    assert error.value.exit_code == 6


def test_a_cuda_device_beyond_the_last_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="cuda:0 to cuda:1"):
        choose_device("cuda:2")


def test_auto_takes_the_cpu_where_there_is_no_cuda(monkeypatch, checkpoint):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    retoucher = Retoucher(checkpoint)
    assert retoucher.device == torch.device("cpu")
    assert retoucher.precision == "float32"


def test_precisions_the_device_cannot_do_are_wrong_usage(checkpoint):
    with pytest.raises(UsageError, match="fp16 needs a CUDA device"):
        Retoucher(checkpoint, device="cpu", precision="fp16")
    with pytest.raises(UsageError, match="unknown precision"):
        Retoucher(checkpoint, device="cpu", precision="half")


def test_running_out_of_device_memory_stops_the_run_with_exit_6(retoucher, monkeypatch):
    def full(level, layer, high_freq):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(retoucher._network, "refine", full)
    with pytest.raises(DeviceError, match="out of memory") as error:
        retoucher.retouch(photo_of(300, 200))
    assert error.value.exit_code == 6


def test_a_crew_keeps_the_order_raises_the_first_error_and_leaves_torchs_threads_alone():
    allowed = torch.get_num_threads()
    crew = Crew()
    assert torch.get_num_threads() == allowed
    assert crew.each(lambda n: n * n, range(20)) == [n * n for n in range(20)]
    assert set(crew.each(lambda _: torch.get_num_threads(), range(20))) == {1}

    def fails_from_three(n):
        if n >= 3:
            raise ValueError(n)

    with pytest.raises(ValueError, match="^3$"):
        crew.each(fails_from_three, range(20))


def test_float32_on_cuda_means_it_and_keeps_cudnn(retoucher, monkeypatch):
    if not torch.backends.cudnn.enabled:
        pytest.skip("cuDNN is switched off here")
    before = torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(retoucher._network, "device", torch.device("cuda"))
    with retoucher._network.at_work():
        assert torch.backends.cudnn.enabled
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from abpn_cli.engine import Retoucher
from abpn_cli.photo import Photo

def told(field):  # getrusage would tell the parent's peak where that is higher
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) * 1024

retoucher = Retoucher(Path(sys.argv[1]), device="cpu")
height, width = int(sys.argv[2]), int(sys.argv[3])
pixels = np.empty((height, width, 3), sys.argv[4])
pixels[:] = (np.arange(width) // 64).astype(pixels.dtype)[:, None]
photo = Photo(pixels)
planned, at_rest = retoucher.peak_bytes(photo, results=0), told("VmRSS")
_, edit = retoucher.overwritten(photo)
print(told("VmHWM"), told("VmHWM") - at_rest, planned, edit.mask_fraction)
"""
MOST_ABOVE = 400 * 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's memory")
@pytest.mark.parametrize(
    ("height", "width", "dtype"),
    [(4000, 6000, "uint8"), (12000, 8000, "uint8"), (1000, 50000, "uint16")],
)
def test_a_photo_of_any_size_takes_little_above_itself_and_less_than_planned(
    tmp_path, height, width, dtype
):
    net = untrained(replace(CONFIG, width=0.5, gate_low=0.01, gate_high=0.02))
    path = save(net, tmp_path / "half.safetensors")
    command = [sys.executable, "-c", MEASURED, path, str(height), str(width), dtype]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    peak, above, planned = map(int, printed[:3])
    assert float(printed[3]) > 0.9
    assert above < MOST_ABOVE
    assert peak < planned


@pytest.mark.parametrize(("dtype", "itemsize"), [(np.uint8, 1), (np.uint16, 2)])
def test_what_is_planned_grows_with_the_photo_and_its_masks_alone(retoucher, dtype, itemsize):
    row = np.zeros((1, 1, 3), dtype)
    planned = [
        retoucher.peak_bytes(Photo(np.broadcast_to(row, (side, side, 3))), masks, results)
        for side, masks, results in [(6000, 0, 0), (6000, 0, 1), (6000, 1, 0), (12000, 0, 0)]
    ]
    photo = 6000 * 6000 * 3 * itemsize
    assert planned[1] - planned[0] == photo
    assert planned[2] - planned[0] == 6000 * 6000 * MASK_BYTES_PER_PIXEL
    assert planned[3] - planned[0] < 3 * photo + 128 * 2**20
    assert planned[3] < 4 * photo + 1024 * 2**20
