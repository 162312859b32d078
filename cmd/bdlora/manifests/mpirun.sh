#!/bin/sh
# {{.Procs}} processes on {{.Nodes}} {{if eq .Nodes 1}}node{{else}}nodes{{end}}, {{.CPUs}} cores each, by Open MPI.
# More settings may follow: sh train.sh learning_rate=1e-4
{{- if gt .Nodes 1}}
# The file hosts has a line a node: node1 slots={{.ProcsPerNode}}
{{- end}}
# When it is stopped, mpirun tells its processes 30 s later, and ends them after 30 s more.
exec bdlora launch --max-restarts {{.MaxRestarts}} -- \
  mpirun -n {{.Procs}} {{.Placement}} --mca odls_base_sigkill_timeout 30 \
  {{shell .Train}} "$@"
