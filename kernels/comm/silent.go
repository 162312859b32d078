package comm

// Silent is process proc of a group of procs that is not there: it exchanges nothing
// and counts nothing, whatever the buffers. It is for rehearsals that only measure sizes.
func Silent(proc, procs int) Comm { return &silent{Comm: Alone(), proc: proc, procs: procs} }

type silent struct {
	Comm
	proc, procs int
}

func (s *silent) Proc() int                           { return s.proc }
func (s *silent) Procs() int                          { return s.procs }
func (*silent) AllReduce(Purpose, Op, any) error      { return nil }
func (*silent) AllGather(Purpose, any, any) error     { return nil }
func (*silent) ReduceScatter(Purpose, any, any) error { return nil }
func (*silent) Broadcast(Purpose, any, int) error     { return nil }
func (*silent) Barrier() error                        { return nil }
func (s *silent) Split(int, int) (Comm, error)        { return s, nil }
