#!/bin/sh
# 8 processes on 2 nodes, 4 cores each, by Open MPI.
# More settings may follow: sh train.sh learning_rate=1e-4
# The file hosts has a line a node: node1 slots=4
# When it is stopped, mpirun tells its processes 30 s later, and ends them after 30 s more.
exec bdlora launch --max-restarts 3 -- \
  mpirun -n 8 --hostfile hosts --map-by ppr:4:node:PE=4 --bind-to core --mca odls_base_sigkill_timeout 30 \
  bdlora train --config run.yaml tensor_parallel_size=4 data_parallel_size=2 threads=4 resume_from_checkpoint=auto "$@"
