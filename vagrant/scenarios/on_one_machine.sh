#!/bin/bash
# The scenarios without virtual machines: the four hosts as network namespaces, with the addresses
# of the Vagrantfile and the real s2cs.
#
# usage: on_one_machine.sh SCENARIO...        as root, with S2CS naming the program
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

forward() {
    local target=192.168.72.12
    if [ "$1" = gateway2 ]; then target=192.168.73.10; fi
    ip netns exec "$SCISTREAM_RUN-$1" "$S2CS" forward --listen 0.0.0.0:5100 \
        --target "$target:5100" >> "$SCISTREAM_FOLDER/$1.log" 2>&1 &
    echo "$!" > "$SCISTREAM_FOLDER/$1.pid"
    # That it was killed is for the scenario to tell.
    disown
}

gateway() {
    case $2 in
        start) forward "$1" ;;
        drain) kill -TERM "$(cat "$SCISTREAM_FOLDER/$1.pid")" ;;
        kill) kill -KILL "$(cat "$SCISTREAM_FOLDER/$1.pid")" ;;
    esac
}

link() {
    ip -n "$SCISTREAM_RUN-$1" link add "to-$3" type veth peer name "to-$1" netns "$SCISTREAM_RUN-$3"
    ip -n "$SCISTREAM_RUN-$1" address add "$2/24" dev "to-$3"
    ip -n "$SCISTREAM_RUN-$3" address add "$4/24" dev "to-$1"
    ip -n "$SCISTREAM_RUN-$1" link set "to-$3" up
    ip -n "$SCISTREAM_RUN-$3" link set "to-$1" up
}

# remove RUN: what runs in a namespace ends with it: nothing of a scenario that failed stays.
remove() {
    local host pid
    for host in producer gateway1 gateway2 consumer; do
        for pid in $(ip netns pids "$1-$host" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns delete "$1-$host" 2>/dev/null || true
    done
    rm -rf "/run/$1"
}

# What a run that was killed left behind: its folder bears the number of a process that is gone.
sweep() {
    local folder
    for folder in /run/ss-vagrant-*; do
        if [ -d "$folder" ] && [ ! -e "/proc/${folder##*-}" ]; then
            remove "${folder##*/}"
        fi
    done
}

if [ "${1:-}" = gateway ]; then
    gateway "$2" "$3"
    exit
fi

[ -x "${S2CS:-}" ] || { echo "S2CS names no program; build it with cargo xtask build" >&2; exit 2; }
export S2CS SCISTREAM_HOSTS=netns SCISTREAM_RUN="ss-vagrant-$$"
sweep
export SCISTREAM_FOLDER="/run/$SCISTREAM_RUN"
mkdir -m 700 "$SCISTREAM_FOLDER"
trap 'remove "$SCISTREAM_RUN"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for host in producer gateway1 gateway2 consumer; do
    ip netns add "$SCISTREAM_RUN-$host"
    ip -n "$SCISTREAM_RUN-$host" link set lo up
done
link producer 192.168.71.10 gateway1 192.168.71.2
link gateway1 192.168.72.11 gateway2 192.168.72.12
link gateway2 192.168.73.2 consumer 192.168.73.10
gateway gateway1 start
gateway gateway2 start

for scenario in "$@"; do
    if ! "$here/$scenario.sh"; then
        tail -n 20 "$SCISTREAM_FOLDER"/*.log >&2
        exit 1
    fi
done
