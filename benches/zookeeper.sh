#!/usr/bin/env bash
# Runs a command beside three real ZooKeeper servers: Debian's packages, default JVM options, data in
# a temporary folder beside the results. The command finds their addresses in $ZOOKEEPER.
#
#   benches/zookeeper.sh sh -c './target/release/chaos bench --against "zookeeper=$ZOOKEEPER"'
set -euo pipefail
jar=/usr/share/java/zookeeper.jar
[ -e "$jar" ] || { echo "no $jar: apt-get install zookeeper" >&2; exit 5; }
log=/usr/share/java/slf4j-simple.jar
[ -e "$log" ] || { echo "no $log: apt-get install libslf4j-java" >&2; exit 5; }

base=${ZOOKEEPER_BASE_PORT:-27180}
mkdir -p results
dir=$(mktemp -d "$PWD/results/zookeeper-XXXXXX")
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$dir"
}
trap finish EXIT

for id in 1 2 3; do
    mkdir -p "$dir/n$id/data"
    echo "$id" > "$dir/n$id/data/myid"
    {
        printf '%s\n' tickTime=2000 initLimit=10 syncLimit=5 "dataDir=$dir/n$id/data" \
            "clientPort=$((base + id))" clientPortAddress=127.0.0.1 admin.enableServer=false \
            '4lw.commands.whitelist=*' maxClientCnxns=0
        for other in 1 2 3; do
            echo "server.$other=127.0.0.1:$((base + 10 + other)):$((base + 20 + other))"
        done
    } > "$dir/n$id/zoo.cfg"
    java -Dzookeeper.jmx.log4j.disable=true -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -cp "$jar:$log:$(echo /usr/share/java/netty*.jar | tr ' ' ':')" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/n$id/zoo.cfg" \
        > "$dir/n$id/log" 2>&1 &
    pids+=($!)
done

word() { # a four-letter word to node $1
    exec 3<>"/dev/tcp/127.0.0.1/$((base + $1))" && printf %s "$2" >&3 && cat <&3
}
deadline=$((SECONDS + 60))
for id in 1 2 3; do
    until (word "$id" srvr) 2>/dev/null | grep -q '^Mode:'; do
        [ $SECONDS -lt $deadline ] || { tail -n 5 "$dir"/n*/log >&2; echo "node $id does not serve" >&2; exit 5; }
        sleep 0.2
    done
done
export ZOOKEEPER="127.0.0.1:$((base + 1)),127.0.0.1:$((base + 2)),127.0.0.1:$((base + 3))"
"$@"
