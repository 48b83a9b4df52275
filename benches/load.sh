#!/usr/bin/env bash
# Where the load generator saturates: plans/selftest-load.yaml at rising rates, and without a rate.
# Prints what came of each rate, how late the harness was, and its memory per recorded operation.
# Usage: benches/load.sh [CHAOS] [RATE…]
set -euo pipefail
cd "$(dirname "$0")/.."
chaos=${1:-target/release/chaos}
shift || true
rates=${*:-10000 20000 30000 40000 50000 60000 80000 none}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '%8s  %9s  %8s  %8s  %9s  %9s  %12s\n' rate recorded 'lag p50' 'lag p99' 'lat. p50' 'lat. p99' 'bytes per op'
for rate in $rates; do
    line="rate: $rate/s"
    [ "$rate" = none ] && line=""
    sed -e "s#  rate: .*#  $line#" -e '/harness_lag/d; /count >=/d' plans/selftest-load.yaml >"$folder/plan.yaml"
    # The largest resident size of the harness: load, recording, and judging what was recorded.
    "$chaos" run "$folder/plan.yaml" --out "$folder/out" --format quiet 2>/dev/null &
    run=$!
    peak=0
    while now=$(awk '/VmHWM/ {print $2}' "/proc/$run/status" 2>/dev/null) && [ -n "$now" ]; do
        peak=$now
        sleep 0.1
    done
    wait "$run" || true
    python3 - "$folder/out/latest" "$rate" "$peak" <<'PY'
import json, pathlib, sys
summary = json.loads((pathlib.Path(sys.argv[1]) / "summary.json").read_text())
latency = summary["latency"]["all"]["all"]
lag = summary["metrics"]["harness_lag"]
done = sum(summary["operations"].values())
ms = lambda ns: f"{ns / 1e6:.2f}"
print(f"{sys.argv[2]:>8}  {latency['n'] / 10:>7.0f}/s  {ms(lag['p50']):>8}  {ms(lag['p99']):>8}"
      f"  {ms(latency['p50']):>9}  {ms(latency['p99']):>9}  {int(sys.argv[3]) * 1024 / done:>12.0f}")
PY
done
