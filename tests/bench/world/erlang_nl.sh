#!/bin/sh
# Erlang's c:nl/1 beside edit_to_live. usage: erlang_nl.sh NODES ROUNDS BYTES; prints "p50 p99 max" in microseconds.
# Needs erl and erlc (Debian: erlang-base).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nodes=$1 rounds=$2 bytes=$3
work=$(mktemp -d)
pids=
cleanup() {
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
erlc "$here/nl_peer.erl"
# The name server of Erlang's nodes; it stays, as it does after any use of Erlang.
epmd -daemon
cookie=moddev_bench_$$
i=1
while [ "$i" -le "$nodes" ]; do
  erl +S 1:1 -noshell -name "peer$i@127.0.0.1" -setcookie "$cookie" -connect_all false </dev/null >/dev/null 2>&1 &
  pids="$pids $!"
  i=$((i + 1))
done
timeout 180 erl +S 1:1 -noshell -name "driver@127.0.0.1" -setcookie "$cookie" -connect_all false \
  -eval "nl_peer:main($nodes, $rounds, $bytes)."
