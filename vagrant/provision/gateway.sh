#!/bin/sh
# A gateway: s2cs as a service, and the WAN's round trip on its WAN side.
# usage: gateway.sh WAN_ADDRESS TARGET RTT_MS
set -eu

wan_address=$1
target=$2
rtt_ms=$3

case $rtt_ms in
    '' | *[!0-9]*)
        echo "SCISTREAM_RTT_MS is $rtt_ms; it must be whole milliseconds, such as 24" >&2
        exit 2
        ;;
esac

install -m 0755 /tmp/s2cs /usr/local/bin/s2cs
# The relay carries the bytes; packets do not pass.
sysctl -q -w net.ipv4.ip_forward=0
modprobe tls || echo "this kernel has no TLS module; s2cs probe says what that means" >&2

# Both gateways delay what they send over the WAN by half of the round trip. An earlier rate or
# delay would be kept by `replace`, so the queue is made anew; the limit holds 10 Gb/s for 144 ms.
wan=$(ip -o -4 address show to "$wan_address/32" | awk '{ print $2; exit }')
if [ -z "$wan" ]; then
    echo "no device has the address $wan_address" >&2
    exit 1
fi
tc qdisc delete dev "$wan" root 2>/dev/null || true
half_us=$((rtt_ms * 500))
tc qdisc add dev "$wan" root netem delay "${half_us}us" limit 200000

cat > /etc/systemd/system/s2cs.service <<EOF
[Unit]
Description=SciStream gateway
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/bin/s2cs forward --listen 0.0.0.0:5100 --target $target:5100
LimitNOFILE=1048576
Restart=on-failure
RestartSec=200ms
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload
systemctl enable --quiet s2cs.service
systemctl restart s2cs.service
# A finding of the probe is for the operator to read, not a failed provision.
/usr/local/bin/s2cs probe || true
