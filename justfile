# Recipes for daily work. `just ci` is what the gate runs.

# Format, lint, test, document, validate all plans.
ci:
    bash .ci/run

# The main job.
run plan="plans/kill-leader.yaml":
    cargo run --release -- run {{plan}}

# All tests.
test:
    cargo test --workspace

# Look at the pages of a run in a browser (apt-get install chromium).
browser run="results/latest":
    tests/browser/run {{run}}

# Break a report in many ways and see that looking at it notices each.
browser-broken run="results/latest":
    tests/browser/run {{run}} broken.py

# Make the pictures of the README anew, from a run of the main job (apt-get install chromium).
screenshot:
    cargo build --release
    tests/browser/screenshot ./target/release/chaos

# Simulate N seeds of the protocol (release build).
sim n="10000":
    CHAOS_SIM_SEEDS={{n}} cargo test --release -p chaos-node --test sim -- --nocapture random_schedules_keep

# Look for every planted bug by random seeds, from N starting points each (release build).
bugs n="5":
    CHAOS_SIM_TABLE={{n}} cargo test --release -p chaos-node --test sim -- --nocapture table_of

# Compare the checkers with brute force on N random histories (release build).
check-fuzz n="1000000":
    CHAOS_CHECK_CASES={{n}} cargo test --release -p chaos --lib check:: -- --nocapture

# Time the checkers and the readers of histories, part by part.
bench-check *filter:
    cargo bench --bench check -- {{filter}}

# Run every nightly plan.
nightly:
    cargo run --release -- run plans/nightly

# Run one plan N times and stop at the first that does not pass.
again n="20" plan="plans/kill-leader.yaml":
    cargo build --release
    for i in $(seq {{n}}); do ./target/release/chaos run {{plan}} --format quiet || exit 1; done

# Strike the harness at N random moments (SIGKILL, SIGINT, SIGTERM), and its reaper, while every
# kind of fault is in force: nothing of the run may be left.
orphans n="200":
    CHAOS_CLEANUP_ROUNDS={{n}} cargo test --release --test cleanup

# The proxy beside a direct path and haproxy (apt-get install haproxy redis-server redis-tools).
bench-proxy:
    cargo bench --bench proxy

# Write throughput of the bundled ensemble beside Debian's ZooKeeper (apt-get install zookeeper).
bench *args:
    cargo build --release
    benches/zookeeper.sh sh -c './target/release/chaos bench --against "zookeeper=$ZOOKEEPER" {{args}}'

# Feed every reader of foreign bytes N nearly right inputs (release build, one core).
fuzz n="100000" *targets="":
    fuzz/run {{n}} {{targets}}

# What the storage costs on this machine's disk, with N entries (release build).
storage-cost n="1000000":
    CHAOS_STORAGE_ENTRIES={{n}} cargo test --release -p chaos-node --test storage cost:: -- --nocapture --test-threads=1

# Where the load generator saturates (release build, the stub with known delays).
bench-load *rates:
    cargo build --release
    benches/load.sh target/release/chaos {{rates}}

# Known delays against what is measured: latency, failover, outages, load.
selftest:
    cargo run --release -- run plans/selftest.yaml plans/selftest-outage.yaml plans/selftest-load.yaml

# How often comparisons raise a false alarm, and how often they see a fifth (release build, SERIES:
# same-stub, same-zab, slow-stub).
bench-ab series n="30":
    cargo build --release
    benches/ab/run {{series}} {{n}}
