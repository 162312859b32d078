// Package verify compares a model with its adapter, computed whole by one process, with
// the same computed by the processes of a tensor-parallel group: what every half-layer
// makes, the loss, and the gradient of every factor ([Pass], [Outcome.Compare]).
package verify
