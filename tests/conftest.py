"""Fixtures that several test files share: a small network, its file, an engine, small shoots."""

import shutil
from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
import shoots
import verifying
from command import Hold
from garments import write_garments
from networks import save, untrained

from abpn_cli import codecs
from abpn_cli.batch.journal import JOURNAL_NAME
from abpn_cli.engine import Retoucher


def pytest_collection_modifyitems(items):
    """Files with long tests first: begun last, one of them would have a process all to itself."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)  # else as they were


@pytest.fixture(scope="module")
def net():
    return untrained()


@pytest.fixture(scope="module")
def checkpoint(net, tmp_path_factory):
    return save(net, tmp_path_factory.mktemp("weights") / "test.safetensors")


@pytest.fixture(scope="module")
def retoucher(checkpoint):
    return Retoucher(checkpoint, device="cpu")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of four made-up garments with label maps for three of them."""
    folder = tmp_path_factory.mktemp("photos")
    write_garments(folder)
    return folder


@pytest.fixture(scope="module")
def small_judges():
    """What a training run is judged by, at half its side: made in a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("abpn_cli.training.data.VALIDATION_SIDE", 128)
        yield


@pytest.fixture
def hold(tmp_path_factory):
    """What holds up commands where a test says so; in the end nobody is held any more."""
    made = Hold(tmp_path_factory.mktemp("hold"))
    yield made
    for kind in ("decode", "flush"):
        made.go(kind)


@pytest.fixture
def shoot(tmp_path):
    """A small shoot of sound photos: in/a.jpg, in/sub/b.png, in/sub/c.png (16 bits)."""
    shoots.save(tmp_path / "in" / "a.jpg", shoots.picture())
    shoots.save(tmp_path / "in" / "sub" / "b.png", shoots.picture())
    shoots.save(tmp_path / "in" / "sub" / "c.png", shoots.picture(dtype=np.uint16))
    (tmp_path / "in" / "notes.txt").write_text("not a photo")
    return tmp_path


@pytest.fixture(scope="module")
def pool():
    with codecs.DecodePool(1) as made:
        yield made


@pytest.fixture(scope="module")
def lenient_pool():
    """A pool that does what is left of damaged photos."""
    with codecs.DecodePool(1, codecs.DecodeOptions(accept_damaged=True)) as made:
        yield made


@pytest.fixture
def one_decoder(monkeypatch):
    """Commands start one decoding process and no more: each takes most of a second of a core."""
    monkeypatch.setattr("abpn_cli.commands.options.MOST_WORKERS", 1)


@pytest.fixture(scope="module")
def shared_decoders():
    """Decoding processes that all tests of a file share: starting them takes most of the time.

    They have the folder they were started in, so paths must be absolute.
    """
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        real, started = codecs.DecodePool, {}

        def shared(workers, options=codecs.DecodeOptions()):  # noqa: B008 (frozen)
            if options not in started:
                started[options] = stack.enter_context(real(1, options))
            return nullcontext(started[options])

        patch.setattr(codecs, "DecodePool", shared)
        yield


@pytest.fixture(scope="module")
def delivery(shared_decoders, checkpoint, tmp_path_factory):
    """A folder with `in`, retouched into `out` with masks, for `abpn verify`."""
    root = tmp_path_factory.mktemp("delivery")
    verifying.make_sources(root / "in")
    assert verifying.retouch(root, checkpoint, "--save-mask") == 0
    return root


@pytest.fixture
def studio(delivery, tmp_path):
    """A copy of the delivery that a test may harm; the journal says where its sources are now."""
    root = tmp_path / "studio"
    shutil.copytree(delivery, root)
    journal = root / "out" / JOURNAL_NAME
    journal.write_text(journal.read_text().replace(str(delivery), str(root)))
    return root
