package train

import "errors"

// What a caller can act on.
var (
	// ErrNoCheckpoint: a folder has no checkpoint to resume from. Start anew, or name
	// another folder.
	ErrNoCheckpoint = errors.New("no checkpoint")
	// ErrBrokenCheckpoint: a checkpoint is not as it was written. Resume from an
	// earlier one, as [Latest] does.
	ErrBrokenCheckpoint = errors.New("broken checkpoint")
	// ErrOutputInUse: another run writes the output folder. Wait for it, or choose
	// another folder.
	ErrOutputInUse = errors.New("in use by another run")
	// ErrDiverged: loss or gradients are no longer numbers. Resume from an earlier
	// checkpoint with a smaller learning rate; this one's steps are lost.
	ErrDiverged = errors.New("training diverged")
	// ErrOutputExists: an output folder has a run in it that nobody asked to resume.
	// Resume it, or choose another folder.
	ErrOutputExists = errors.New("an earlier run is there")
	// ErrOtherRun: a checkpoint was written by a run with other settings or inputs.
	// Make them the same again, start anew elsewhere, or take its adapter alone, with
	// init_adapter.
	ErrOtherRun = errors.New("cannot resume from a different run")
	// ErrGrid: the job has more or fewer processes than the settings ask for. Start as
	// many.
	ErrGrid = errors.New("the number of processes does not fit")
	// ErrProcessesDiffer: the processes of a run do not have the same settings, files or
	// numbers. Give all of them the same, on processors of one kind.
	ErrProcessesDiffer = errors.New("the processes differ")
	// ErrMemory: the run needs more memory than the machine, or the limit of its
	// container, has left. The error says which settings need less.
	ErrMemory = errors.New("train: not enough memory")
)
