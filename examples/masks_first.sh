#!/usr/bin/env bash
# Before a long run: see in red where each photo of a folder would be retouched.
#
#   examples/masks_first.sh SOURCE OUT [TASK]
set -euo pipefail

source_dir=$1
out_dir=$2
task=${3:-cloth}

abpn mask "$source_dir" --out "$out_dir" --task "$task" --overlay
echo "Look through $out_dir; white out what must stay in a mask for --protect."
