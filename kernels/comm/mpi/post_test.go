//go:build mpi && (linux || darwin)

package mpi

import (
	"net"
	"strings"
	"testing"
	"time"
)

// Law: whoever does not know the job's token is not listened to, however much he says.
func TestStrangersAreNotListenedTo(t *testing.T) {
	p := newPost(0, 2, time.Second, func() progress { return progress{} })
	n, err := p.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer p.closer.Close()
	conn, err := net.Dial("tcp", n.Addresses[len(n.Addresses)-2]) // 127.0.0.1
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	message := []byte{0xfc, 0x08, 0, 0, 0} // gob's length: 128 MiB
	for sent := 0; sent < 1<<27; sent += len(message) {
		if _, err := conn.Write(message); err != nil {
			return
		}
		message = make([]byte, 1<<16)
	}
	t.Error("a message of 128 MiB was taken in, want the connection closed")
}

func TestProcessesWithTheTokenAreHeard(t *testing.T) {
	first := newPost(0, 2, time.Millisecond, func() progress { return progress{} })
	n, err := first.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer first.closer.Close()
	second := newPost(1, 2, time.Millisecond, func() progress { return progress{Inside: true} })
	if err := second.connect(n); err != nil {
		t.Fatal(err)
	}
	defer second.closer.Close()
	for began := time.Now(); !first.all()[1].Progress.Inside; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("process 0 does not hear process 1")
		}
	}
	n.Token = strings.ToLower(n.Token)
	if err := newPost(1, 2, time.Millisecond, first.now).connect(n); err == nil {
		t.Error("another token: got no error")
	}
}
