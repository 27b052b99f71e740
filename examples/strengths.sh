#!/usr/bin/env bash
# One photo at several strengths, as JPEG proofs for a client to choose from.
#
#   examples/strengths.sh PHOTO OUT [TASK]
set -euo pipefail

photo=$1
out_dir=$2
task=${3:-cloth}

for strength in 0.5 0.8 1.0; do
    abpn retouch "$photo" --out "$out_dir/strength-$strength" --task "$task" \
        --strength "$strength" --format jpeg --quality 85 --quiet
done
echo "Compare $out_dir/strength-*/"
