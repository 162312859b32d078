//go:build mpi && (linux || darwin)

package mpi

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"os"

	"bdlora/kernels/comm"
)

// job is what all groups of a process share.
type job struct {
	lib     *library
	compare bool
	watch   *watch
	post    *post
	peers   []comm.Peer
}

// World is the group of all processes of a job.
type World struct {
	comm.Comm
	job *job
}

// Library is what carries the calls.
func (w *World) Library() comm.Library { return w.job.lib.Library }

// Peers are the processes, in order.
func (w *World) Peers() []comm.Peer { return w.job.peers }

// Open joins the processes that a launcher has started. It is an error if the library
// sees another number of them than options say: it is not the launcher's then, and each
// process would compute alone. MPI can be opened once in a process.
func Open(options comm.Options) (*World, error) {
	if options.Lost == nil {
		return nil, errors.New("mpi: Options.Lost is nil, want what ends the process: no call of MPI can be taken back")
	}
	if options.Timeout == 0 {
		options.Timeout = comm.DefaultTimeout
	}
	lib, err := load(options)
	if err != nil {
		return nil, err
	}
	j := &job{lib: lib, compare: options.Compare}
	j.watch = &watch{timeout: options.Timeout, lost: options.Lost, missing: j.missing, stop: make(chan struct{}),
		progress: progress{Begun: map[group]int{}}}
	j.watch.begin(0, nil, step("start"))
	go j.watch.run()
	defer j.watch.end()
	if err := lib.start(); err != nil {
		return nil, err
	}
	world, err := newEngine(j, lib.world, 0)
	if err != nil {
		return nil, err
	}
	if procs := world.Procs(); options.Procs != 0 && procs != options.Procs {
		return nil, errors.Join(fmt.Errorf("mpi: %s (%s): number of processes is %d, want the %d that were started: %w",
			lib.File, lib.Version, procs, options.Procs, comm.ErrOtherLauncher), lib.passed)
	}
	for proc := range world.members {
		world.members[proc] = proc
	}
	if err := world.meet(); err != nil {
		return nil, err
	}
	return &World{comm.Over(world), j}, nil
}

// meet makes the processes known to each other, and connects them beside MPI.
func (e *engine) meet() error {
	peers, err := e.allPeers()
	if err != nil {
		return err
	}
	p := newPost(e.proc, e.Procs(), beatEvery(e.watch.timeout), e.watch.now)
	var n notice
	if e.proc == 0 {
		if n, err = p.listen(); err != nil {
			return fmt.Errorf("mpi: process 0 cannot listen beside MPI, to notice who is lost: %w", err)
		}
	}
	if err := e.announce(&n); err != nil {
		return err
	}
	if e.proc != 0 {
		if err := p.connect(n); err != nil {
			return err
		}
	}
	e.know(peers, p)
	return e.lib.call(mpiBarrier, e.handle)
}

// know tells the watchdog of the others.
func (j *job) know(peers []comm.Peer, p *post) {
	j.watch.Lock()
	defer j.watch.Unlock()
	j.peers, j.post = peers, p
}

// allPeers gathers who the processes are.
func (e *engine) allPeers() ([]comm.Peer, error) {
	const room = 512 // for a name of at most 255 bytes
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	mine, all := make([]byte, room), make([]byte, room*e.Procs())
	copy(mine, fmt.Sprintln(os.Getpid(), host))
	if err := e.allGather(e.operands(comm.Call{Type: comm.Bytes, Dst: all, Src: mine})); err != nil {
		return nil, err
	}
	peers := make([]comm.Peer, e.Procs())
	for proc := range peers {
		peers[proc].Proc = proc
		name := string(all[proc*room : (proc+1)*room])
		if _, err := fmt.Sscanln(name, &peers[proc].PID, &peers[proc].Host); err != nil {
			return nil, fmt.Errorf("mpi: process %d: its name: %w", proc, err)
		}
	}
	return peers, nil
}

// announce brings process 0's notice to all.
func (e *engine) announce(n *notice) error {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(n); err != nil {
		return err
	}
	length := []float64{float64(text.Len())}
	if err := e.broadcast(e.operands(comm.Call{Type: comm.Float64, Dst: length, Src: length}), 0); err != nil {
		return err
	}
	sent := make([]byte, int(length[0]))
	copy(sent, text.Bytes())
	if err := e.broadcast(e.operands(comm.Call{Type: comm.Bytes, Dst: sent, Src: sent}), 0); err != nil {
		return err
	}
	return gob.NewDecoder(bytes.NewReader(sent)).Decode(n)
}

// missing is who keeps a call from ending, as far as anybody can say.
func (j *job) missing(of group, call int, members []int) (peers []comm.Peer) {
	j.watch.Lock()
	known := j.post
	j.watch.Unlock()
	if known == nil {
		return nil
	}
	all, silent := known.all(), silentAfter(j.watch.timeout)
	for _, proc := range missing(all, of, call, members, silent) {
		peer := j.peers[proc]
		if all[proc].Silence > silent {
			peer.Silence = all[proc].Silence
		}
		peers = append(peers, peer)
	}
	return peers
}

// Close ends MPI, once all processes do.
func (e *engine) Close() error {
	e.watch.begin(e.group, e.members, step("close"))
	err := e.lib.finalize()
	e.watch.end()
	close(e.watch.stop)
	e.post.closer.Close()
	return err
}
