package job

import (
	"bytes"
	"encoding/json"
	"fmt"

	"bdlora/kernels/comm"
)

// Gather is what every process says, in their order.
func Gather[T any](c comm.Comm, mine T) ([]T, error) {
	text, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	longest := []float64{float64(len(text))}
	if err := c.AllReduce(comm.Control, comm.Max, longest); err != nil {
		return nil, err
	}
	room := int(longest[0])
	text = append(text, bytes.Repeat([]byte(" "), room-len(text))...)
	texts := make([]byte, room*c.Procs())
	if err := c.AllGather(comm.Control, texts, text); err != nil {
		return nil, err
	}
	all := make([]T, c.Procs())
	for proc := range all {
		if err := json.Unmarshal(texts[proc*room:(proc+1)*room], &all[proc]); err != nil {
			return nil, fmt.Errorf("process %d: %w", proc, err)
		}
	}
	return all, nil
}
