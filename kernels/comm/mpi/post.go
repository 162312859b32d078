//go:build mpi && (linux || darwin)

package mpi

import (
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// post carries what processes say of their progress, beside MPI: all to process 0 and
// what it has heard to all.
type post struct {
	every  time.Duration
	now    func() progress // of this process
	closer interface{ Close() error }
	sync.Mutex
	proc  int
	heard []heard
	since []time.Time // when Silence of each was what it says
}

func newPost(proc, procs int, every time.Duration, now func() progress) *post {
	return &post{proc: proc, every: every, now: now,
		heard: make([]heard, procs), since: slices.Repeat([]time.Time{time.Now()}, procs)}
}

// hear notes what another process is said to have said.
func (p *post) hear(proc int, h heard) {
	p.Lock()
	defer p.Unlock()
	p.heard[proc], p.since[proc] = h, time.Now()
}

// all is what is known of every process at this moment, itself included.
func (p *post) all() []heard {
	mine := heard{Progress: p.now()}
	p.Lock()
	defer p.Unlock()
	all := slices.Clone(p.heard)
	for proc := range all {
		all[proc].Silence += time.Since(p.since[proc])
	}
	all[p.proc] = mine
	return all
}

// notice is where process 0 hears the others.
type notice struct {
	Token     string // that only this job's processes know
	Addresses []string
}

// answerWithin is how long a connection may take to be made.
const answerWithin = 5 * time.Second

// listen is process 0's part.
func (p *post) listen() (notice, error) {
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		return notice{}, err
	}
	p.closer = listener
	n := notice{Token: rand.Text(), Addresses: addresses(listener.Addr().(*net.TCPAddr).Port)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn, n.Token)
		}
	}()
	return n, nil
}

// addresses are those of this host, as seen from others and then from itself.
func addresses(port int) []string {
	var outside, inside []string
	all, _ := net.InterfaceAddrs() // without them, this host is still itself
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if ok && n.IP.IsGlobalUnicast() {
			outside = append(outside, net.JoinHostPort(n.IP.String(), strconv.Itoa(port)))
		}
	}
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} {
		inside = append(inside, net.JoinHostPort(ip.String(), strconv.Itoa(port)))
	}
	return append(outside, inside...)
}

// serve hears one process and tells it of all.
func (p *post) serve(conn net.Conn, token string) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(answerWithin))
	greeting := make([]byte, len(token))
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != token {
		return // and what a stranger says is not decoded
	}
	from := gob.NewDecoder(conn)
	var proc int
	if from.Decode(&proc) != nil || proc <= 0 || proc >= len(p.heard) {
		return
	}
	conn.SetReadDeadline(time.Time{})
	go p.tell(gob.NewEncoder(conn), func() any { return p.all() })
	for {
		var said progress
		if from.Decode(&said) != nil {
			return
		}
		p.hear(proc, heard{Progress: said})
	}
}

// tell says something at every beat, until nobody listens.
func (p *post) tell(to *gob.Encoder, what func() any) {
	for to.Encode(what()) == nil {
		time.Sleep(p.every)
	}
}

// connect is the part of the other processes: the first address that answers is it.
func (p *post) connect(n notice) error {
	var errs []error
	for _, address := range n.Addresses {
		conn, err := net.DialTimeout("tcp", address, answerWithin)
		if err == nil {
			if err = p.join(conn, n.Token); err == nil {
				return nil
			}
			conn.Close()
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	return fmt.Errorf("mpi: process %d cannot reach process 0 beside MPI, to notice who is lost: %w",
		p.proc, errors.Join(errs...))
}

// join greets process 0 and, once it has answered, goes on to tell it and to hear it.
func (p *post) join(conn net.Conn, token string) error {
	to, from := gob.NewEncoder(conn), gob.NewDecoder(conn)
	conn.SetDeadline(time.Now().Add(answerWithin))
	if _, err := io.WriteString(conn, token); err != nil {
		return err
	}
	if err := to.Encode(p.proc); err != nil {
		return err
	}
	if err := p.hearAll(from); err != nil {
		return err
	}
	conn.SetDeadline(time.Time{})
	p.closer = conn
	go p.tell(to, func() any { return p.now() })
	go func() {
		for p.hearAll(from) == nil {
		}
	}()
	return nil
}

// hearAll takes in one message of process 0.
func (p *post) hearAll(from *gob.Decoder) error {
	var all []heard
	if err := from.Decode(&all); err != nil {
		return err
	}
	for proc, h := range all[:min(len(all), len(p.heard))] {
		p.hear(proc, h)
	}
	return nil
}
