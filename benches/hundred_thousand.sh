#!/usr/bin/env bash
#
# One `oneloop load` holds 110,000 TCP connections to one `oneloop serve`, and then asks over
# 100,000 of them, on a machine whose limit of file descriptors forbids either.
#
#   benches/hundred_thousand.sh target/release/oneloop
#
# A user who may raise the hard RLIMIT_NOFILE (root with CAP_SYS_RESOURCE) needs none of this: `ulimit -n
# 300000` and the commands in the guest's /init below do it. In a container without that capability
# nothing inside helps, so both programs run in a small Linux guest, where they are root over a
# kernel of their own. The guest is emulated in software (TCG), so that it needs no /dev/kvm; its
# times are therefore ten to fifty times those of the machine and say nothing about speed. What is
# shown is that the connections are held, without an error, and what memory that costs, which
# emulation does not change.
#
# Needs Debian or one of its children (apt-get, dpkg) with qemu-system-x86 installed, about 7 GiB of
# free memory and five to ten minutes. The guest's kernel, busybox and cpio are downloaded into a temporary
# directory and never installed.
#
# Environment, each with a default:
#   IDLE=110000    connections of the first run, which do nothing (beside 64 active clients)
#   ACTIVE=100000  clients of the second run, all of which ask
#   RATE=2000      requests per second of the second run, in all
#   DURATION=60s   how long the second run is measured (RATE * DURATION >= ACTIVE: each client asks)
#   RAMP=60s       how long the second run takes to connect
#   MEMORY=6G      of the guest
#   TIMEOUT=900    seconds until the guest is stopped, whatever it does
#   ACCEL=tcg,thread=multi   QEMU's -accel; "kvm" where that is to be had
#   KERNEL=FILE    a vmlinuz to boot in place of Debian's (with initramfs, devtmpfs, 8250 console)
#
# Exit codes: 0 the guest showed the connections, 1 it did not, 2 something is missing.

set -euo pipefail

IDLE=${IDLE:-110000}
ACTIVE=${ACTIVE:-100000}
RATE=${RATE:-2000}
DURATION=${DURATION:-60s}
RAMP=${RAMP:-60s}
MEMORY=${MEMORY:-6G}
TIMEOUT=${TIMEOUT:-900}
ACCEL=${ACCEL:-tcg,thread=multi}

missing() {
    echo "$0: $*" >&2
    exit 2
}

[ $# -eq 1 ] || missing "usage: $0 PATH-OF-ONELOOP"
oneloop=$(realpath -e -- "$1") || missing "no such file: $1"
[ -x "$oneloop" ] || missing "not executable: $1"
[ "$(uname -m)" = x86_64 ] || missing "written for x86_64 only"
for tool in apt-get apt-cache dpkg-deb ldd timeout; do
    command -v "$tool" >/dev/null || missing "needs $tool"
done
command -v qemu-system-x86_64 >/dev/null ||
    missing "needs QEMU: apt-get install --no-install-recommends qemu-system-x86"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc} "$work/packages"

# Downloads the package $1 and unpacks it below $work/packages, without installing it.
unpack() {
    echo "downloading $1" >&2
    (
        cd "$work/packages"
        # As root apt would download as the user _apt, who may not write to a directory of mktemp's.
        apt-get -qq -o APT::Sandbox::User=root download "$1" ||
            missing "cannot download $1 (apt-get update first?)"
        dpkg-deb -x "$1"_*.deb .
    )
}

# The kernel's package: linux-image-cloud-amd64 is empty and depends on the one with the version in
# its name. The cloud flavour is the smallest, and has all that is needed built in.
if [ -z "${KERNEL:-}" ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || missing "no package linux-image-cloud-amd64: set KERNEL=FILE"
    unpack "$package"
    KERNEL=$(echo "$work"/packages/boot/vmlinuz-*)
fi

unpack busybox-static
cp "$(find "$work/packages" -path '*bin/busybox' | head -n 1)" "$root/bin/busybox"
cpio=$(command -v cpio) || {
    unpack cpio
    cpio=$(find "$work/packages" -path '*bin/cpio' | head -n 1)
}

# The program with its shared libraries and their loader, at the paths it looks for them. A static
# binary has none, and ldd fails.
cp "$oneloop" "$root/bin/oneloop"
{ ldd "$oneloop" || true; } 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done

cat >"$root/etc/settings" <<END
IDLE=$IDLE
ACTIVE=$ACTIVE
RATE=$RATE
DURATION=$DURATION
RAMP=$RAMP
END

cat >"$root/init" <<'END'
#!/bin/busybox sh
# Runs as process 1 of the guest; when it ends, or the kernel panics, so does QEMU (-no-reboot).
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /etc/settings

set_to() { echo "$2" >"/proc/sys/$1" || echo "cannot set $1"; }
ip link set lo up
set_to fs/nr_open 1048576
set_to fs/file-max 1000000
ulimit -n 300000
# One source address has 64,000 ports at most: load takes many addresses of 127.0.0.0/8 in turn.
set_to net/ipv4/ip_local_port_range '1024 65535'
# The accept queue is the least of this and serve's --backlog.
set_to net/core/somaxconn 16384
set_to net/ipv4/tcp_max_syn_backlog 16384
# The first run leaves its connections in TIME_WAIT.
set_to net/ipv4/tcp_max_tw_buckets 400000

now() { cut -d. -f1 /proc/uptime; }
field() { sed -n "s/^$2:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$1/status" 2>/dev/null; }
# Sockets in use by TCP on the whole machine: both ends of each connection, without TIME_WAIT.
in_use() { sed -n 's/^TCP: inuse \([0-9]*\).*/\1/p' /proc/net/sockstat; }
# Sockets of a process. Looking at each of 100,000 descriptors would take so long that clients end meanwhile; what else a
# process has open it opened first, so only the low numbers are looked at.
sockets() {
    others=0
    for low in $(seq 0 63); do
        link=$(readlink "/proc/$1/fd/$low") || continue
        case $link in socket:*) ;; *) others=$((others + 1)) ;; esac
    done
    set -- "/proc/$1/fd/"*
    echo $(($# - others))
}
memory() { grep -E '^(MemFree|MemAvailable|Slab|SUnreclaim|Percpu):' /proc/meminfo; }

# Runs `oneloop load` with the arguments behind the first two, and tells about both processes: NAME
# is what to call it, WANT the connections it has to hold.
run() {
    name=$1 want=$2
    shift 2
    echo
    echo "== $name: oneloop load $*"
    begun=$(now)
    before=$(field $serve VmRSS)
    oneloop load "$@" >/tmp/table 2>&1 &
    load=$!
    counted=0 of_load=0 of_serve=0 hwm=0
    while [ -d /proc/$load ] && ! grep -q '^State:.Z' /proc/$load/status; do
        # The last figures read before load ends are the ones told below.
        high=$(field $load VmHWM)
        [ -n "$high" ] && [ "$high" -gt 0 ] && hwm=$high
        used=$(in_use)
        if [ $counted = 0 ] && [ "$used" -ge $((2 * want)) ]; then
            counted=1
            sleep 2
            echo "-- all connected $(($(now) - begun)) s after the start; held at once:"
            of_load=$(sockets $load)
            of_serve=$(sockets $serve)
            echo "sockets of load: $of_load"
            echo "sockets of serve: $of_serve"
            grep -E '^(sockets|TCP):' /proc/net/sockstat
            for process in $load $serve; do
                [ $process = $load ] && echo "-- load" || echo "-- serve"
                grep -E '^(VmHWM|VmRSS|RssAnon|FDSize|Threads)' /proc/$process/status
            done
            echo "-- machine"
            memory
            kill -USR1 $serve
        fi
        sleep 2
    done
    wait $load
    code=$?
    echo "-- table"
    cat /tmp/table
    echo "-- exit code $code, after $(($(now) - begun)) s"
    [ "$name" = few ] && few=$hwm
    high=$(field $serve VmHWM)
    echo "load: VmHWM $hwm kB, $hwm - $few (run few) = $((hwm - few)) kB:" \
        "$(((hwm - few) * 1024 / want)) bytes for each of $want"
    echo "serve: VmRSS $before kB before, $(field $serve VmRSS) kB after, VmHWM $high kB," \
        "$high - $first (its start) = $((high - first)) kB:" \
        "$(((high - first) * 1024 / want)) bytes for each of $want"
    if [ $code = 0 ] && [ "$of_load" -ge "$want" ] && [ "$of_serve" -ge "$want" ]; then
        echo "HELD $name $of_load"
    else
        echo "NOT HELD $name: exit code $code, sockets $of_load and $of_serve, wanted $want"
    fi
}

echo
echo "== guest: Linux $(uname -r), $(nproc) CPUs, limit of file descriptors $(ulimit -n)"
echo "clock: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
oneloop --version
memory

# No deadline for the idle: they would end before all of them have come.
oneloop serve echo@127.0.0.1:7777 --clients 200000 --idle 0 --backlog 16384 >/tmp/serve 2>&1 &
serve=$!
until grep -q '^listening' /tmp/serve; do sleep 1; [ -d /proc/$serve ] || break; done
first=$(field $serve VmRSS)

# What both cost with hardly any connection, to compare with.
run few 64 echo@127.0.0.1:7777 --clients 64 --duration 5s
run idle $((IDLE + 64)) echo@127.0.0.1:7777 --clients 64 --idle "$IDLE" --ramp "$RAMP" \
    --duration 30s --connect-timeout 60s --reply-timeout 60s
# Those that closed are to be gone from serve too.
patience=120
while [ "$(in_use)" -gt 10 ] && [ $patience -gt 0 ]; do sleep 1; patience=$((patience - 1)); done
run active "$ACTIVE" echo@127.0.0.1:7777 --clients "$ACTIVE" --ramp "$RAMP" --rate "$RATE" \
    --duration "$DURATION" --connect-timeout 60s --reply-timeout 60s

echo
echo "== the end of serve"
kill -TERM $serve
wait $serve
echo "-- exit code $?, it said:"
cat /tmp/serve
echo "-- kernel"
dmesg | grep -iE 'out of memory|too many|SYN flood|orphan|table overflow' || echo "no complaint"
echo "== DONE"
poweroff -f
END
chmod 755 "$root/init"

(cd "$root" && find . | "$cpio" --quiet -o -H newc -R 0:0) >"$work/initramfs"

echo "booting, for $TIMEOUT s at most" >&2
# The guest's clock is taken from the emulated TSC, which user space reads without a system call.
timeout "$TIMEOUT" qemu-system-x86_64 \
    -accel "$ACCEL" -smp 2 -m "$MEMORY" -kernel "$KERNEL" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable" \
    -nographic -no-reboot -nodefaults -serial stdio </dev/null |
    tr -d '\r' | tee "$work/output" || echo "QEMU ended with an error, or after $TIMEOUT s" >&2

if grep -q '^HELD idle' "$work/output" && grep -q '^HELD active' "$work/output"; then
    echo "shown: $(sed -n 's/^HELD idle //p' "$work/output") idle," \
        "$(sed -n 's/^HELD active //p' "$work/output") active"
else
    echo "not shown" >&2
    exit 1
fi
