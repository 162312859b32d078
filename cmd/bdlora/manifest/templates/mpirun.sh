#!/bin/sh
# Open MPI: nodes {{.Nodes}}, processes {{.Procs}}, cores for each {{.CPUs}}.
# More settings may follow: sh train.sh learning_rate=1e-4
{{- if gt .Nodes 1}}
# The file hosts has a line a node: node1 slots={{.ProcsPerNode}}
{{- end}}
exec bdlora launch --max-restarts {{.MaxRestarts}} -- \
  mpirun -n {{.Procs}} {{.Placement}} \
  {{shell .Train}} "$@"
