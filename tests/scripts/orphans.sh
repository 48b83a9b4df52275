#!/usr/bin/env bash
# Kills the harness with SIGKILL at random moments of a run and shows that nothing is left.
# usage: orphans.sh [N]        needs target/release/chaos
set -u
n=${1:-20}
chaos=target/release/chaos
out=$(mktemp -d)
left=0
for i in $(seq "$n"); do
    "$chaos" run plans/kill-leader.yaml --out "$out" --seed "$i" >/dev/null 2>&1 &
    harness=$!
    # 0.1 to 8 seconds into the run: setup, steady load, failovers.
    pause=$(awk -v seed="$RANDOM" 'BEGIN { srand(seed); printf "%.2f", 0.1 + rand() * 8 }')
    sleep "$pause"
    kill -9 "$harness" 2>/dev/null
    wait "$harness" 2>/dev/null
    # Every process of the run names the run's folder or is the reaper: look until a deadline.
    for _ in $(seq 100); do
        alive=$(pgrep -f -- "$out|chaos __reaper" | wc -l)
        [ "$alive" -eq 0 ] && break
        sleep 0.01
    done
    echo "kill $i after $pause s: $alive left"
    [ "$alive" -eq 0 ] || { left=$((left + alive)); pgrep -af -- "$out|chaos __reaper"; }
done
rm -rf "$out"
echo "$n kills, $left processes left"
[ "$left" -eq 0 ]
