"""Fixtures that several test files share: a small network, its file, an engine with it."""

import pytest
from garments import write_garments
from networks import save, untrained

from abpn_cli.engine import Retoucher


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
