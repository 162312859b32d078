package commtest

import "bdlora/kernels/comm"

// splits checks the groups of every grid that the processes can form: rows and columns
// hold who they should, in order, and both can be used in turn; then an order against
// that of the processes.
func splits(l lab) {
	for cols := 1; cols <= l.Procs(); cols++ {
		if l.Procs()%cols == 0 {
			l.grid(cols)
		}
	}
	back, err := l.Split(0, -l.Proc())
	if l.ok(err); err != nil {
		return
	}
	if want := l.Procs() - 1 - l.Proc(); back.Proc() != want {
		l.fail("backwards: place is %d, want %d", back.Proc(), want)
	}
	l.members("backwards", back, func(i int) int { return l.Procs() - 1 - i })
}

// grid checks rows of cols neighbours, and the columns across them.
func (l lab) grid(cols int) {
	row, col := l.Proc()/cols, l.Proc()%cols
	inRow, err := l.Split(row, col)
	if l.ok(err); err != nil {
		return
	}
	inCol, err := l.Split(col, row)
	if l.ok(err); err != nil {
		return
	}
	if inRow.Proc() != col || inRow.Procs() != cols || inCol.Proc() != row || inCol.Procs() != l.Procs()/cols {
		l.fail("grid of %d columns: place %d of %d in row, %d of %d in column", cols,
			inRow.Proc(), inRow.Procs(), inCol.Proc(), inCol.Procs())
	}
	for range 3 {
		l.members("row", inRow, func(i int) int { return row*cols + i })
		l.members("column", inCol, func(i int) int { return i*cols + col })
	}
	ofRow, err := inRow.Split(0, -inRow.Proc())
	if l.ok(err); err == nil {
		l.members("row backwards", ofRow, func(i int) int { return row*cols + cols - 1 - i })
	}
}

// members checks who is in a group, and their sum.
func (l lab) members(what string, group comm.Comm, want func(i int) int) {
	places := make([]float64, group.Procs())
	l.ok(group.AllGather(comm.Control, places, []float64{float64(l.Proc())}))
	expect(l, what, places, func(i int) float64 { return float64(want(i)) })
	sum, wantSum := []float64{float64(l.Proc())}, 0.0
	l.ok(group.AllReduce(comm.Control, comm.Sum, sum))
	for i := range group.Procs() {
		wantSum += float64(want(i))
	}
	expect(l, what+"'s sum", sum, func(int) float64 { return wantSum })
}
