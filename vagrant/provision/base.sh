#!/bin/sh
# What every host has: the programs of the scenarios, and TCP buffers for long paths.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q --yes --no-install-recommends ethtool iperf3 iproute2 socat

# The bandwidth-delay product of 10 Gb/s over 144 ms is 180 MB: what `s2cs probe` asks for, and more.
cat > /etc/sysctl.d/60-scistream.conf <<'EOF'
net.core.default_qdisc = fq
net.core.rmem_max = 268435456
net.core.wmem_max = 268435456
net.ipv4.tcp_rmem = 4096 131072 268435456
net.ipv4.tcp_wmem = 4096 16384 268435456
net.ipv4.tcp_no_metrics_save = 1
net.ipv4.tcp_mtu_probing = 1
EOF
sysctl -q --system
