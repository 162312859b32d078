// Package serving compares ways of serving an adapter on a tensor-parallel model: what
// each holds, computes and sends ([Setup]), and how long a step takes by a model of two
// numbers a collective and three a machine ([Predict]), fitted to measurements
// ([FitLine], [FitMachine]) or taken from what others have published ([A100], [Links]).
package serving
