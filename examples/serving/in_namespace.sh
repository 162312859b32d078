#!/bin/bash
# in_namespace.sh HOST COMMAND…: what mpirun starts its processes by, in place of ssh:
# host 10.78.0.i is the network namespace i of tcp.sh, under a host name of its own.
namespace=$BDLORA_NAMESPACE-${1##*.}
shift
exec ip netns exec "$namespace" unshare --uts bash -c 'hostname "$0" && exec bash -c "$1"' "$namespace" "$*"
