#!/bin/bash
# shared_memory.sh N [flags of serve-bench]: N processes of this machine, which exchange
# through its memory. BDLORA names the program, built with -tags mpi.
set -euo pipefail
procs=$1
shift
cores=$(nproc)
exec mpirun --allow-run-as-root --oversubscribe --bind-to none \
    --mca mpi_yield_when_idle $((procs > cores)) --mca btl self,vader \
    -n "$procs" "${BDLORA:-bdlora}" serve-bench --link "shared memory" "$@"
