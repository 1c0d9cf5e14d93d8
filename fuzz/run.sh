#!/bin/sh
# Coverage-guided fuzzing, in a virtual environment of its own: `fuzz/run.sh SECONDS [HARNESS…]`, for example
# `fuzz/run.sh 3600 mime`; 60 seconds of each harness by default.
# A crash is written to fuzz/; run it again by `.venv-fuzz/bin/python fuzz/mime.py fuzz/mime-crash-…`.
# What covers new ground is kept where CORPUS says: a folder, made when it is not there.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- $(cd fuzz && ls ./*.py | sed 's,^./,,; s,\.py$,,')
PYTHON="${PYTHON:-python3}" VENV=.venv-fuzz EDITABLE=1 MAILSPY_COMPILE=0 scripts/bootstrap fuzz
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
for harness; do
    printf '\n-- %s, %s seconds\n' "$harness" "$seconds"
    corpus=${CORPUS:-$found}/$harness
    mkdir -p "$corpus"
    dictionary=""
    [ ! -f "fuzz/$harness.dict" ] || dictionary="-dict=fuzz/$harness.dict"
    .venv-fuzz/bin/python "fuzz/$harness.py" $dictionary -max_total_time="$seconds" -timeout=20 -max_len=16384 \
        -rss_limit_mb=1024 -artifact_prefix="fuzz/$harness-" -print_final_stats=1 -verbosity=0 "$corpus" "fuzz/corpus/$harness"
done
