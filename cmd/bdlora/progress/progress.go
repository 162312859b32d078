// Package progress shows on a terminal or in a file how a run goes.
package progress

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"bdlora/train"
)

// New shows a run on w: with a bar where w is a terminal, in plain lines where it is a
// file, a pipe or a terminal too narrow for the bar.
func New(w io.Writer) train.Observer {
	l := &lines{out: w}
	if file, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns >= besideBar+leastBar {
			return newBar(l, columns)
		}
	}
	return l
}

// Quantizing says how far a base model is on its way into 8 or 4 bits.
func Quantizing(w io.Writer, done, total int) {
	if done == 1 {
		fmt.Fprintf(w, "quantising the base model, which the next start will find in cache_dir: layer 1 of %d\n", total)
	}
	if done == total {
		fmt.Fprintf(w, "quantised %d layers\n", total)
	}
}
