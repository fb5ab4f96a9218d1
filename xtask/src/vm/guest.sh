#!/bin/sh
# The first process of a guest: mounts, loads modules, runs what /plan lists, hands the results
# out, switches off. Lines that begin with @ are read by the host.
export PATH=/sbin:/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /results
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# The kernel's messages are in the results; on the console they would cut into the lines.
dmesg -n 1
while read -r module; do
    insmod "/modules/$module.ko" || echo "the module $module was not loaded"
done < /modules/order
ip link set lo up
. /environment

now() { cut -d' ' -f1 /proc/uptime; }

if [ -e /shell ]; then
    echo "Linux $(uname -r). The tests are in /t; what cargo xtask vm runs is in /plan."
    echo "exit, or Ctrl-A X, switches this machine off."
    cd /t && setsid cttyhack sh
    poweroff -f
fi

# The firmware left its line open.
echo
echo "@ booted $(uname -r) $(now)"
while read -r name command; do
    echo "@ begin $name $(now)"
    $command > "/results/$name.out" 2>&1 < /dev/null
    code=$?
    # Here too: a guest that does not come to its end hands nothing out.
    [ "$code" = 0 ] || tail -n 60 "/results/$name.out"
    echo "@ end $name $code $(now)"
done < /plan
dmesg > /results/dmesg.txt
for port in /sys/class/virtio-ports/*; do
    if [ "$(cat "$port/name")" = results ]; then
        tar -cf "/dev/${port##*/}" -C /results .
    fi
done
echo "@ done $(now)"
poweroff -f
