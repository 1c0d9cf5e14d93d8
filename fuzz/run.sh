#!/bin/sh
# Fuzzes the MIME reader for SECONDS (default 60), in a folder of its own: `fuzz/run.sh 3600`.
# A crash is written to fuzz/; run it again by `python fuzz/mime.py fuzz/crash-…`.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
PYTHON="${PYTHON:-python3}" VENV=.venv-fuzz EDITABLE=1 MAILSPY_COMPILE=0 scripts/bootstrap fuzz
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
exec .venv-fuzz/bin/python fuzz/mime.py -max_total_time="$seconds" -timeout=20 -max_len=16384 -rss_limit_mb=1024 \
    -dict=fuzz/mime.dict -artifact_prefix=fuzz/ -print_final_stats=1 ${CORPUS:-"$found"} fuzz/corpus/mime
