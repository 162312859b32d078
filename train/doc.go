// Package train is the training run: its settings ([Config]), the learning rate
// ([Schedule]), the loop with its optimizer and evaluation, checkpoints that a run
// resumes from to the bit ([SaveCheckpoint], [Latest], [OpenCheckpoint]), and what it
// leaves behind to look at: trainer_log.jsonl ([Log]) and the loss curve
// ([WriteCurve]).
//
// One process or many run the same loop. What they are to each other is a [Grid]; whatever
// decides how the run goes on is a number that all of them have, and what one of them finds
// wrong between two steps is told to all ([SharedError]).
//
// Nothing here prints: what happens goes to an [Observer].
package train
