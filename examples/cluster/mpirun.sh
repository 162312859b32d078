#!/bin/sh
# Open MPI: nodes 2, processes 8, cores for each 4.
# More settings may follow: sh train.sh learning_rate=1e-4
# The file hosts has a line a node: node1 slots=4
exec bdlora launch --max-restarts 3 -- \
  mpirun -n 8 --hostfile hosts --map-by ppr:4:node:PE=4 --bind-to core \
  bdlora train --config run.yaml tensor_parallel_size=4 data_parallel_size=2 threads=4 resume_from_checkpoint=auto "$@"
