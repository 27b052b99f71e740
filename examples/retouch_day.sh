#!/usr/bin/env bash
# A studio's nightly run: retouch what is new in a folder, and say what needs a person.
#
#   examples/retouch_day.sh SOURCE OUT [TASK]
#
# Run it again after an interruption: photos that are done are skipped. Its exit code is abpn's.
set -euo pipefail

source_dir=$1
out_dir=$2
task=${3:-cloth}
log=$out_dir.ndjson

code=0
abpn retouch "$source_dir" --out "$out_dir" --task "$task" --ndjson --quiet > "$log" || code=$?

case $code in
    0) echo "All photos are in $out_dir." ;;
    3) echo "Some photos failed, the others are in $out_dir:" ;;
    4) echo "No photo in $source_dir." ;;
    130 | 143) echo "Stopped; run the same command again to go on." ;;
    *) exit "$code" ;; # abpn has said on stderr what is wrong
esac

# one event per line: the failures, and photos of which so much changed that one should look
python3 - "$log" << 'END'
import json
import sys

for line in open(sys.argv[1], encoding="utf-8"):
    event = json.loads(line)
    if event["event"] != "photo":
        continue
    if event["status"] == "failed":
        print(f"failed: {event['error']}")
    elif (event["changed_fraction"] or 0) > 0.25:
        print(f"look at: {event['output']} ({event['changed_fraction']:.0%} of its pixels changed)")
END
exit "$code"
