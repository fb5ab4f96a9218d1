#!/bin/bash
# The second gateway is killed in the middle of a stream: neither side takes that for the stream's
# end, and the next stream passes.
set -euo pipefail
. "$(dirname "$0")/hosts.sh"

accepts gateway2
accepts gateway1
consume killed
produce killed 200 20 &
producing=$!
until_true "bytes have arrived" consumer "ss -Htn state established '( sport = :5100 )' | grep -q ."

gateway gateway2 kill
if wait "$producing"; then
    fail "the producer believes that everything was sent"
fi
wait "$CONSUMING" || true
say "the producer was told"

gateway gateway2 start
accepts gateway2
consume again
produce again 64
wait "$CONSUMING"
same again
say "done"
