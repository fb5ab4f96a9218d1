#!/bin/bash
# A stream from the producer to the consumer over both gateways: every byte, and how fast.
set -euo pipefail
. "$(dirname "$0")/hosts.sh"

accepts gateway2
accepts gateway1
if reaches producer "$CONSUMER"; then
    fail "the producer reaches the consumer without the gateways"
fi

consume stream
produce stream "${MEGABYTES:-256}"
wait "$CONSUMING"
same stream

on consumer "timeout $PATIENCE iperf3 -s -1 -B $CONSUMER -p 5100 > /dev/null" &
until_true "iperf3 listens" consumer "ss -Hltn 'sport = :5100' | grep -q LISTEN"
on producer "iperf3 -c $GATEWAY1 -p 5100 -t ${SECONDS_OF_LOAD:-5} -f m" | tail -4
wait "$!"
say "done"
