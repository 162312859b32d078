package train

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bdlora/kernels/comm"
)

// SharedError ends a run on all of its processes, whichever have met it: each returns
// one, with the same text, so that one of them is enough to tell. It is what this
// process has met, if it has.
type SharedError struct {
	text string
	met  error
}

// Error names the processes that have met the error, unless all have.
func (e *SharedError) Error() string { return e.text }

// Unwrap is the error that this process has met, nil if only others have.
func (e *SharedError) Unwrap() error { return e.met }

// agree is nil if all processes have come here without an error. Otherwise it is a
// [SharedError] on all of them.
func (g *Grid) agree(err error) error { return agree(g.World, err) }

func agree(world comm.Comm, met error) error {
	if world.Procs() == 1 {
		return met
	}
	text := ""
	if met != nil {
		text = met.Error()
	}
	texts, err := gather(world, text)
	if err != nil {
		return errors.Join(met, err)
	}
	if text := oneText(texts); text != "" {
		return &SharedError{text, met}
	}
	return nil
}

// oneText says who has met what.
func oneText(texts []string) string {
	if !slices.ContainsFunc(texts, func(text string) bool { return text != texts[0] }) {
		return texts[0]
	}
	var lines []string
	for proc, text := range texts {
		if text != "" {
			lines = append(lines, fmt.Sprintf("process %d of %d: %s", proc, len(texts), text))
		}
	}
	return strings.Join(lines, "\n")
}

// gather is what each process says.
func gather(world comm.Comm, text string) ([]string, error) {
	lengths := make([]float64, world.Procs())
	if err := world.AllGather(comm.Control, lengths, []float64{float64(len(text))}); err != nil {
		return nil, err
	}
	most := int(slices.Max(lengths))
	texts := make([]string, world.Procs())
	if most == 0 {
		return texts, nil
	}
	mine, all := make([]byte, most), make([]byte, most*world.Procs())
	copy(mine, text)
	if err := world.AllGather(comm.Control, all, mine); err != nil {
		return nil, err
	}
	for proc := range texts {
		texts[proc] = string(all[proc*most:][:int(lengths[proc])])
	}
	return texts, nil
}

// tell is what the first process says.
func (g *Grid) tell(text string) (string, error) {
	length := []float64{float64(len(text))}
	if err := g.World.Broadcast(comm.Control, length, 0); err != nil {
		return "", err
	}
	buf := make([]byte, int(length[0]))
	copy(buf, text)
	if len(buf) == 0 {
		return "", nil
	}
	err := g.World.Broadcast(comm.Control, buf, 0)
	return string(buf), err
}
