#!/bin/busybox sh
# The first process in the guest. What the tests say goes to the second serial port, the kernel's
# words to the first, so that neither cuts the other's lines. Lines that begin with @ are for
# `cargo xtask kernels`.
export PATH=/bin:/applets HOME=/tmp LC_ALL=C
export GATEWAY_SKIPS=/tmp/skips GATEWAY_EMULATED=1
/bin/busybox mkdir -p /applets
/bin/busybox --install -s /applets
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /tmp /run
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
for module in /modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done
: >"$GATEWAY_SKIPS"
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1
echo "@kernel $(uname -r)"
/tests/verifier /tests/gateway-ebpf
verified=$?
echo "@exit verifier $verified"
while [ $verified = 0 ] && read -r name; do
    # One after the other: under emulation two tests at once would only disturb each other's time.
    "/tests/$name" --test-threads=1
    echo "@exit $name $?"
done </tests/list
sed 's/^/@skip /' "$GATEWAY_SKIPS"
echo "@end"
sync
# What was said must have left the port before the machine does.
sleep 1
reboot -f
