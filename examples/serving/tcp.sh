#!/bin/bash
# tcp.sh N RATE DELAY [flags of serve-bench]: N processes, each in a network namespace
# of its own as if on a host of its own, which exchange by TCP over a bridge. RATE limits
# what each sends and gets ("1gbit"; "plain" for no limit), DELAY holds every packet back
# ("1ms"; "0" for none; needs a kernel with netem). BDLORA names the program, built with
# -tags mpi. Needs root, iproute2 and Open MPI; leaves nothing behind.
set -euo pipefail
procs=$1 rate=$2 delay=$3
shift 3
name=bdlora$$
net=10.78.0
here=$(cd "$(dirname "$0")" && pwd)

job=
cleanup() {
    if [[ $job ]]; then
        kill "$job" 2>/dev/null || true
        wait "$job" || true
    fi
    for ((i = 1; i <= procs; i++)); do
        ip link del "v$i-$$" 2>/dev/null || true
        ip netns del "$name-$i" 2>/dev/null || true
    done
    ip link del "$name" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# shape DEVICE [command…]: the limits of what leaves a device.
shape() {
    local device=$1
    shift
    if [[ $delay != 0 ]]; then
        local limit=()
        [[ $rate != plain ]] && limit=(rate "$rate")
        "$@" tc qdisc add dev "$device" root netem delay "$delay" "${limit[@]}"
    elif [[ $rate != plain ]]; then
        "$@" tc qdisc add dev "$device" root tbf rate "$rate" burst 64kb latency 100ms
    fi
}

ip link add "$name" type bridge
ip addr add "$net.254/24" dev "$name"
ip link set "$name" up
hosts=()
for ((i = 1; i <= procs; i++)); do
    ip netns add "$name-$i"
    ip link add "v$i-$$" type veth peer name eth0 netns "$name-$i"
    ip link set "v$i-$$" master "$name" up
    ip -n "$name-$i" addr add "$net.$i/24" dev eth0
    ip -n "$name-$i" link set eth0 up
    ip -n "$name-$i" link set lo up
    shape "v$i-$$"
    shape eth0 ip netns exec "$name-$i"
    hosts+=("$net.$i:1")
done

link="TCP"
[[ $rate != plain ]] && link+=", $rate"
[[ $delay != 0 ]] && link+=", $delay"
export BDLORA_NAMESPACE=$name
cores=$(nproc)
mpirun --allow-run-as-root --bind-to none -host "$(IFS=,; echo "${hosts[*]}")" -n "$procs" \
    --mca plm_rsh_agent "$here/in_namespace.sh" --mca plm_rsh_no_tree_spawn 1 \
    --mca oob_tcp_if_include "$net.0/24" --mca btl self,tcp --mca btl_tcp_if_include "$net.0/24" \
    --mca pml ob1 --mca mpi_yield_when_idle $((procs > cores)) \
    "${BDLORA:-bdlora}" serve-bench --threads 1 --link "$link" "$@" &
job=$!
wait "$job"
job=
