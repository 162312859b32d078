package job

import (
	"errors"
	"time"

	"bdlora/train"
)

// oneVoice is an error that all processes of a job have, and that process 0 alone says.
type oneVoice struct {
	error
	proc int
}

func (e oneVoice) Unwrap() error { return e.error }

// Shared is an error that all processes have, for process 0 alone to say.
func (p Place) Shared(err error) error { return oneVoice{err, p.Proc} }

// Leave ends this process's part in a job. Of an error that it alone has met it tells
// nobody: when it ends without having left, the launcher ends the others.
func (w *World) Leave(err error) error {
	if err == nil {
		return w.Close()
	}
	if !errors.As(err, new(*train.SharedError)) {
		return err
	}
	return w.Place.Shared(errors.Join(err, w.Close()))
}

// WaitForFirst gives process 0 the time to say the same, after which the launcher ends the
// others. It says what all have met before they have joined, such as a wrong setting.
func (p Place) WaitForFirst() {
	if p.Proc > 0 {
		time.Sleep(time.Second)
	}
}

// Said reports whether another process says the error. It waits a little then, since
// the launcher may end that one as soon as this one has ended.
func Said(err error) bool {
	var voice oneVoice
	if !errors.As(err, &voice) || voice.proc == 0 {
		return false
	}
	time.Sleep(time.Second)
	return true
}
