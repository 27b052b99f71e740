#!/usr/bin/env bash
# Checks and times everything that needs a CUDA device, in one call of under ten minutes.
#
#   benchmarks/gpu.sh [--env] [FOLDER]
#
# FOLDER (out/gpu unless told otherwise) takes it all: machine.txt, tests.txt, and for each bench
# its tables (*.txt) and figures (*.json). No network is needed. PYTHON names an interpreter that has
# abpn's dependencies, Triton among them; --env makes an environment with the Makefile first, which
# does need a network. Exit code 1 where a test fails or a bench does; the others are run all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if [[ "${1:-}" == --env ]]; then
    make env
    python=.venv/bin/python
    shift
fi
folder=$(realpath -m "${1:-out/gpu}")
mkdir -p "$folder"

if ! why=$("$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>&1); then
    echo "gpu.sh: no CUDA device that the torch of $python can use. ${why##*$'\n'}" >&2
    exit 1
fi

failed=0
# timed NAME SECONDS COMMAND...: its output goes to NAME.txt; what fails is told and the rest goes on.
timed() {
    local name=$1 most=$2
    shift 2
    local start=$SECONDS
    if timeout "$most" "$@" >"$folder/$name.txt" 2>"$folder/$name.log"; then
        echo "$name: done in $((SECONDS - start)) s"
    else
        echo "$name: FAILED with $? after $((SECONDS - start)) s; see $folder/$name.log" >&2
        failed=1
    fi
}

bench() {
    local name=$1 most=$2
    shift 2
    timed "$name" "$most" "$python" -m abpn_cli bench --device cuda --json "$folder/$name.json" "$@"
}

{
    date --iso-8601=seconds
    git rev-parse HEAD 2>/dev/null || true
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
    "$python" - <<'PYTHON'
import importlib.metadata as metadata
import os

for name in ("torch", "triton", "numpy", "opencv-python-headless"):
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        print(name, "missing")
print("cores", os.cpu_count())
PYTHON
} >"$folder/machine.txt"
cat "$folder/machine.txt"

# Triton compiles its kernels here, once; what follows finds them in its cache.
timed tests 240 "$python" -m pytest -m gpu -p no:cacheprovider

# Plain eager network and ours in turn, at the paper's sizes, beside its figures; then distances, for
# which the untiled result is made on the CPU.
bench paper 60 --sizes 512,1024,2048,4096 --width 0.5 --precision fp16 --repeats 20 --no-check
bench exact 60 --sizes 512,2048 --width 0.5 --precision fp16 --repeats 1
bench paper_wide 35 --sizes 4096 --width 1 --precision fp16 --repeats 20 --no-check
bench paper_float32 35 --sizes 4096 --width 0.5 --precision float32 --repeats 10 --no-check
bench paper_bf16 35 --sizes 4096 --width 0.5 --precision bf16 --repeats 10 --no-check
bench large 60 --sizes 6144x4096,8192,14204x10652 --width 0.5 --precision fp16 --repeats 5 --no-check

# The whole command against decoding and encoding of the same files.
shoot=$(mktemp -d)
trap 'rm -rf "$shoot"' EXIT
"$python" - "$shoot" <<'PYTHON'
import sys
from pathlib import Path

import cv2

from abpn_cli.benchmark.plain import made_pixels

for number in range(24):
    pixels = made_pixels(4000, 6000, number)
    cv2.imwrite(str(Path(sys.argv[1]) / f"{number:02}.jpg"), pixels[..., ::-1])
PYTHON
bench end_to_end 75 --end-to-end "$shoot"

exit "$failed"
