#!/bin/bash
# First process of the guest. The kernel's command line says qosrun=FOLDER: a folder of the host with
# `command` (a script), `settings` and, after the run, `stdout`, `stderr`, `exit_code` and `out/`.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/tmp /run/home /run/host /run/cache /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts 2>/dev/null
run=$(sed -n 's/.*qosrun=\([^ ]*\).*/\1/p' /proc/cmdline)
. "$run/settings" # RIG_MODPROBE RIG_MODULES RIG_CACHE RIG_TIMEOUT_S RIG_CLOCK
mount -t hostfs host /run/host -o "$run"
mount -t hostfs cache /run/cache -o "$RIG_CACHE"
"$RIG_MODPROBE" -d "$RIG_MODULES" -a ipv6 veth ifb tun dummy 8021q \
    sch_htb sch_tbf sch_netem sch_fq_codel sch_codel sch_cake sch_drr sch_fq sch_pie sch_sfq sch_qfq \
    sch_hfsc sch_prio sch_red sch_ingress cls_flow cls_flower cls_bpf cls_u32 cls_matchall cls_fw cls_basic \
    act_mirred act_skbedit act_gact act_police tcp_bbr >&2
ip link set lo up
export HOME=/run/home TMPDIR=/run/tmp NUMBA_CACHE_DIR=/run/cache/numba MPLCONFIGDIR=/run/home/mpl
export PYTHONDONTWRITEBYTECODE=1 RIG_OUT=/run/host/out
if [ -n "$RIG_CLOCK" ]; then mkdir /run/host/virtual-clock; fi # see hostshim.c
timeout -k 5 "$RIG_TIMEOUT_S" setsid -w bash "$run/command" >/run/host/stdout 2>/run/host/stderr </dev/null
echo $? >/run/host/exit_code
sync
echo o >/proc/sysrq-trigger
sleep 60
