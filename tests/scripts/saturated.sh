#!/usr/bin/env bash
# Runs a command while every processor is kept busy by a loop of its own, at normal priority.
#
#   tests/scripts/saturated.sh ./target/release/chaos run plans/nightly/saturated.yaml
set -euo pipefail
busy=()
finish() { kill "${busy[@]}" 2>/dev/null || true; }
trap finish EXIT
for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    busy+=($!)
done
"$@"
