# shellcheck shell=bash
# How a scenario reaches the hosts; sourced by each. Two places have the same four hosts:
#
#   SCISTREAM_HOSTS=vagrant   the machines of the Vagrantfile (the default)
#   SCISTREAM_HOSTS=netns     network namespaces on this machine, made by on_one_machine.sh

HOSTS=${SCISTREAM_HOSTS:-vagrant}
# What the producer dials, and where the consumer listens.
GATEWAY1=192.168.71.2
export GATEWAY1
CONSUMER=192.168.73.10
export CONSUMER
# Where a host keeps the sums; hosts on one machine share the folder of their run.
FILES=${SCISTREAM_FOLDER:-/tmp}
# How long a step may take.
PATIENCE=60

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "FAILED: $*"
    exit 1
}

# on HOST SCRIPT: runs a script on a host, as root.
on() {
    case $HOSTS in
        vagrant) vagrant ssh "$1" -- sudo bash -euc "$(printf %q "$2")" ;;
        netns) ip netns exec "$SCISTREAM_RUN-$1" bash -euc "$2" ;;
        *) fail "SCISTREAM_HOSTS is $HOSTS; it must be vagrant or netns" ;;
    esac
}

# gateway HOST start|drain|kill: drain is SIGTERM, which lets streams finish; kill is SIGKILL.
gateway() {
    case $HOSTS-$2 in
        vagrant-start) on "$1" "systemctl start s2cs.service" ;;
        vagrant-drain) on "$1" "systemctl stop --no-block s2cs.service" ;;
        vagrant-kill) on "$1" "systemctl kill --signal KILL s2cs.service" ;;
        netns-*) "$(dirname "${BASH_SOURCE[0]}")/on_one_machine.sh" gateway "$1" "$2" ;;
        *) fail "no host takes $2" ;;
    esac
}

# until_true WHAT HOST CONDITION: waits for what nothing announces.
until_true() {
    local left=$((PATIENCE * 5))
    until on "$2" "$3" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "$1: not within $PATIENCE s"
        sleep 0.2
    done
}

# reaches HOST ADDRESS: whether a connection to port 5100 is taken there.
reaches() {
    on "$1" "socat -u OPEN:/dev/null TCP:$2:5100,connect-timeout=3" 2>/dev/null
}

accepts() { until_true "$1 accepts" "$1" "ss -Hltn 'sport = :5100' | grep -q LISTEN"; }

# The consumer takes one stream and keeps the sum of its bytes in a file of its own.
consume() {
    on consumer "rm -f $FILES/$1.sum $FILES/$1.bytes"
    on consumer "set -o pipefail
        timeout $PATIENCE socat -u TCP-LISTEN:5100,bind=$CONSUMER,reuseaddr STDOUT \
        | tee >(wc -c > $FILES/$1.bytes) | sha256sum > $FILES/$1.sum.partial \
        && mv $FILES/$1.sum.partial $FILES/$1.sum" &
    # The scenario waits for it.
    # shellcheck disable=SC2034
    CONSUMING=$!
    until_true "the consumer listens" consumer "ss -Hltn 'sport = :5100' | grep -q LISTEN"
}

# produce NAME MEGABYTES [SECONDS]: random bytes through the gateways, spread over SECONDS.
produce() {
    local chunks=${3:-0}
    local pause=1
    if [ "$chunks" -eq 0 ]; then
        chunks=1
        pause=0
    fi
    local each=$(($2 / chunks))
    on producer "set -o pipefail
        for chunk in \$(seq $chunks); do head -c ${each}M /dev/urandom; sleep $pause; done \
            | tee >(sha256sum > $FILES/$1.sent) | timeout $PATIENCE socat -u STDIN TCP:$GATEWAY1:5100"
}

# same NAME: the consumer got every byte that the producer sent, in order.
same() {
    local sent received
    until_true "the consumer's sum" consumer "test -s $FILES/$1.sum"
    sent=$(on producer "cat $FILES/$1.sent")
    received=$(on consumer "cat $FILES/$1.sum")
    [ "$sent" = "$received" ] || fail "$1: sent $sent, received $received"
    say "$1: equal, ${sent%% *}"
}
