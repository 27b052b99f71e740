"""Help answers at once, for every verb, and names every option and exit code."""

import re
import subprocess
import sys

import pytest
from typer.main import get_command

from abpn_cli import __version__
from abpn_cli.cli import app

HEAVY = ("torch", "cv2", "numpy", "tifffile", "PIL", "rich", "safetensors")
VERBS = sorted(get_command(app).commands)


def abpn(*words, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "abpn_cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from abpn_cli.cli import main\n"
        "sys.argv = ['abpn', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.rstrip().endswith("HEAVY []")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_for_each_of_its_options(verb):
    done = abpn(verb, "--help")
    assert done.returncode == 0
    command = get_command(app).commands[verb]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{verb} {parameter.name} has no help"
        assert any(option in done.stdout for option in (*parameter.opts, parameter.metavar or ""))


def test_the_verbs_of_the_product_are_there():
    assert {"retouch", "mask", "train", "evaluate", "info", "weights"} <= set(VERBS)


@pytest.mark.parametrize("verb", ["retouch", "mask"])
def test_options_are_called_the_same_in_every_verb(verb):
    options = {
        option for parameter in get_command(app).commands[verb].params for option in parameter.opts
    }
    shared = "--out --task --weights --detail --device --precision --max-memory --jobs"
    reporting = "--dry-run --overwrite --json --ndjson --quiet -q --verbose -v"
    assert set(f"{shared} {reporting}".split()) <= options


def test_help_names_the_exit_codes():
    text = re.sub(r"\s+", " ", abpn("--help").stdout)
    for code in ("0 all done", "2 wrong usage", "3 some photos", "4 no photo", "5 weights",
                 "6 device", "7 output", "130 Ctrl-C", "143 SIGTERM"):  # fmt: skip
        assert code in text


def test_version_is_told_on_stdout_alone():
    done = abpn("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"abpn {__version__}\n", "")


def test_an_unknown_option_is_usage():
    done = abpn("retouch", "--sharpen")
    assert done.returncode == 2
    assert done.stdout == "" and "--sharpen" in done.stderr
