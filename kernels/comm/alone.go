package comm

// Alone is a group of one: nothing is exchanged, and nothing counted.
func Alone() Comm { return Over(alone{}) }

type alone struct{}

func (alone) Proc() int                      { return 0 }
func (alone) Procs() int                     { return 1 }
func (alone) Do(Call) error                  { return nil } // Over makes the calls of a group of one
func (alone) Split(int, int) (Engine, error) { return alone{}, nil }
func (alone) Abort(error)                    {}
func (alone) Close() error                   { return nil }
