#!/bin/sh
# A producer or a consumer: an application's host. It must not reach the other side by itself.
set -eu

sysctl -q -w net.ipv4.ip_forward=0
# Debian's package offers to start iperf3 at boot; the scenarios start their own.
systemctl disable --now --quiet iperf3.service 2>/dev/null || true
