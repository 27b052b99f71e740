"""The quality tables of BENCHMARKS.md again, from the shipped weights.

`make evaluate` judges each task's weights in these ways, a folder of the report for each:

- painted: held-out photos with creases painted by a generator that training does not use;
- rendered: garments rendered wrinkled and pressed (examples/render.py), full size and the paper's
  protocol, classical filters beside;
- nothing_to_do: photos that must come back as they were;
- garments, of cloth alone: real wrinkles of garments it never saw, and what of them stays;
- of face besides: spots of three kinds, and the colour of skin by its tone (benchmarks/faces.py).

All but the rendered take the photos of ../shared/data (--data says where they are), which do not
come with the source; what is missing is named and left out, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "weights" / "recipes"
DATA = ROOT.parent / "shared" / "data"
LPIPS = Path("models", "alexnet_lpips_fp16.safetensors")
GARMENTS = ("cloth/flat_cc0/", "cloth/luma/")  # held out in part; of VENIA nothing was trained on
VENIA = "cloth/venia"
FINE = {"face": "faceless"}  # whose list of photos with nothing to do is called otherwise


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(*words: str | Path) -> None:
    """Run a Python command, told first, to its end; a failure ends the whole."""
    command = [sys.executable, *map(str, words)]
    say("\n$ " + " ".join(command[1:]))
    done = subprocess.run(command, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"it ended with {done.returncode}")


def evaluate(*words: str | Path) -> None:
    """Run `abpn evaluate`."""
    run("-m", "abpn_cli", "evaluate", *words)


def missing(data: Path) -> list[Path]:
    """What of the photos and backbones is not there."""
    needed = (data / "masks.npz", data / "nothing_to_retouch", data / VENIA, data / LPIPS)
    return [path for path in needed if not path.exists()]


def render(pairs: Path) -> Path:
    """Render garments, wrinkled and pressed, into `before` and `after` of a folder."""
    run("examples/render.py", pairs, "--pairs")
    return pairs


def painted(task: str, data: Path, out: Path) -> None:
    """Judge held-out photos, creases painted on them."""
    words: list[str | Path] = ["--task", task, "--photos", data, "--masks", data / "masks.npz"]
    words += ["--list", RECIPES / f"{task}_held_out.txt"]
    words += ["--nothing", RECIPES / f"{FINE.get(task, 'nothing')}_held_out.txt"]
    evaluate(*words, "--json", out / f"{task}_painted.json")


def rendered(task: str, data: Path, pairs: Path, out: Path) -> None:
    """Judge rendered garments; LPIPS where its backbone is at hand."""
    words: list[str | Path] = ["--task", task, "--pairs", pairs / "before", pairs / "after"]
    if (data / LPIPS).exists():
        words += ["--lpips", data / LPIPS]
    evaluate(*words, "--baselines", "--out", out / f"{task}_rendered")
    evaluate(*words, "--protocol", "paper", "--out", out / f"{task}_rendered_paper")


def nothing_to_do(task: str, data: Path, out: Path) -> None:
    """Judge restraint."""
    photos = data / "nothing_to_retouch"
    evaluate("--task", task, "--nothing-to-do", photos, "--out", out / f"{task}_nothing_to_do")


def garments(task: str, data: Path, out: Path) -> None:
    """Judge real garments that training never saw."""
    held_out = (RECIPES / f"{task}_held_out.txt").read_text("utf-8").split()
    names = [name for name in held_out if name.startswith(GARMENTS)]
    names += [f"{VENIA}/{path.name}" for path in sorted((data / VENIA).glob("*.jpg"))]
    out.mkdir(parents=True, exist_ok=True)
    chosen = out / f"{task}_garments.txt"
    chosen.write_text("\n".join(names) + "\n", "utf-8")
    words: list[str | Path] = ["--task", task, "--photos", data, "--masks", data / "masks.npz"]
    evaluate("--garments", *words, "--list", chosen, "--out", out / f"{task}_garments")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all that can be run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the photos to judge by")
    parser.add_argument("--out", type=Path, default=Path("out", "quality"), help="for the reports")
    parser.add_argument("--pairs", type=Path, help="garments rendered before, not to do it again")
    parser.add_argument(
        "--task", action="append", help="instead of cloth and face; may be repeated"
    )
    options = parser.parse_args(arguments)
    data, out = options.data.resolve(), options.out.resolve()
    absent = missing(data)
    for task in options.task or ["cloth", "face"]:
        if not absent:
            painted(task, data, out)
            nothing_to_do(task, data, out)
        if task == "face" and not absent:
            run("benchmarks/faces.py", "--data", data)
        if task == "cloth":  # nobody is rendered yet
            pairs = options.pairs.resolve() if options.pairs else render(out / "pairs")
            rendered(task, data, pairs, out)
            if not absent:
                garments(task, data, out)
    say(f"\nReports: {out}")
    if absent:
        names = "".join(f"\n  {path}" for path in absent)
        raise SystemExit(f"Left out: all but rendered garments. Not there:{names}")


if __name__ == "__main__":
    main()
