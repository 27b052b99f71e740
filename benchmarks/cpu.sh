#!/usr/bin/env bash
# Measures everything of the section "Speed" of BENCHMARKS.md on this machine's CPU, in one call.
#
#   benchmarks/cpu.sh [FOLDER]
#
# FOLDER (out/cpu unless told otherwise) takes machine.txt and for each bench its tables (*.txt) and
# figures (*.json). Eight minutes on two idle fast cores, half an hour on slow ones; 12 GiB of memory.
# PYTHON names an interpreter that has abpn and its dependencies, that of `make env` unless told
# otherwise. Exit code 1 where a bench fails; the others are run all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
folder=$(realpath -m "${1:-out/cpu}")
mkdir -p "$folder"
failed=0

# bench NAME SECONDS OPTIONS...: its tables go to NAME.txt; what fails is told and the rest goes on.
bench() {
    local name=$1 most=$2 start=$SECONDS
    shift 2
    if timeout "$most" "$python" -m abpn_cli bench --device cpu --json "$folder/$name.json" "$@" \
        >"$folder/$name.txt" 2>"$folder/$name.log"; then
        echo "$name: done in $((SECONDS - start)) s"
    else
        echo "$name: FAILED with $? after $((SECONDS - start)) s; see $folder/$name.log" >&2
        failed=1
    fi
}

{
    date --iso-8601=seconds
    git rev-parse HEAD 2>/dev/null || true
    uptime
    lscpu | grep -E "^(Model name|CPU\(s\)|Thread|L2|L3|Flags)" || true
} >"$folder/machine.txt"
head -3 "$folder/machine.txt"

# Plain and ours in turn at the size that the targets are for, compared with the untiled result.
bench dense 600 --sizes 6144x4096 --width 0.5 --repeats 5
# The paper's sizes beside its Table 3.
bench paper 400 --sizes 512,1024,2048,4096 --width 0.5 --repeats 3
# Ours alone from 6 to 151 megapixels: cost of a megapixel, memory.
bench sizes 600 --sizes 3072x2048,4096,6144x4096,8192,14204x10652 --width 0.5 --repeats 3 \
    --no-plain --no-check

# The whole command on six 24-megapixel JPEGs, against decoding and encoding of the same files.
shoot=$(mktemp -d)
trap 'rm -rf "$shoot"' EXIT
for number in 1 2 3 4 5 6; do
    cp examples/shoot/coral_tshirt.jpg "$shoot/$number.jpg"
done
bench end_to_end 300 --end-to-end "$shoot"

cat "$folder"/{dense,paper,sizes,end_to_end}.txt
exit "$failed"
