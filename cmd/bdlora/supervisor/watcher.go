package supervisor

import (
	"io"
	"regexp"
	"sync"
)

// watcher passes on what a command writes to its standard error, and notices when one
// of its processes says why it ends.
type watcher struct {
	out      io.Writer
	reported chan struct{} // closed then

	lock sync.Mutex
	line []byte // the beginning of the line that is being written
	said bool   // bdlora itself has
	once sync.Once
}

func newWatcher(out io.Writer) *watcher { return &watcher{out: out, reported: make(chan struct{})} }

// lastWords begins the line of a process that ends for a reason, behind what mpirun
// --tag-output or srun --label writes before each line.
var lastWords = regexp.MustCompile(`^(?:\[[\d,]+\]<stderr>: ?|\s*\d+: )?(bdlora|panic|fatal error): `)

// longestPrefix is more than lastWords can match.
const longestPrefix = 64

// Write passes p on.
func (w *watcher) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, b := range p {
		switch {
		case b == '\n':
			w.inspect()
			w.line = w.line[:0]
		case len(w.line) < longestPrefix:
			w.line = append(w.line, b)
		}
	}
	return w.out.Write(p)
}

// inspect looks at a line whose beginning is known.
func (w *watcher) inspect() {
	words := lastWords.FindSubmatch(w.line)
	if words == nil {
		return
	}
	w.said = w.said || string(words[1]) == "bdlora"
	w.once.Do(func() { close(w.reported) })
}

// explained reports whether bdlora has said what is wrong.
func (w *watcher) explained() bool {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.said
}

// sharedWriter takes whole writes, one after another, from several goroutines.
type sharedWriter struct {
	lock sync.Mutex
	w    io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.w.Write(p)
}
