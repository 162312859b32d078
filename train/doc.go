// Package train is the training run: its settings ([Config]), the learning rate
// ([Schedule]), the loop with its optimizer and evaluation, checkpoints that a run
// resumes from to the bit ([SaveCheckpoint], [Latest], [OpenCheckpoint]), and what it
// leaves behind to look at: trainer_log.jsonl ([Log]) and the loss curve
// ([WriteCurve]).
//
// Nothing here prints: what happens goes to an [Observer].
package train
