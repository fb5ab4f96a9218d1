#!/bin/bash
# The first gateway is told to end in the middle of a stream: it takes no new connection, and the
# stream that is under way loses nothing.
set -euo pipefail
. "$(dirname "$0")/hosts.sh"

accepts gateway2
accepts gateway1
consume release
produce release 80 8 &
producing=$!
until_true "bytes have arrived" consumer "ss -Htn state established '( sport = :5100 )' | grep -q ."

gateway gateway1 drain
until_true "gateway1 takes nothing new" gateway1 "! ss -Hltn 'sport = :5100' | grep -q LISTEN"
kill -0 "$producing" 2>/dev/null || fail "the stream ended before the gateway was told to"
if reaches producer "$GATEWAY1"; then
    fail "a draining gateway took a new connection"
fi

wait "$producing" || fail "the producer was cut off"
wait "$CONSUMING"
same release
gateway gateway1 start
accepts gateway1
say "done"
