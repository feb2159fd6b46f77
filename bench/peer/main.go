// SPDX-License-Identifier: MIT
// main.go - the pool of Go: goroutines that read from a buffered channel.
//
// Takes and prints the same as main.c.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	ring   = 1024
	fan    = 1000
	idleNs = 300000
)

var (
	turns uint64
	began int64
	epoch = time.Now()
)

type job struct {
	fn     func(number uint64)
	number uint64
	wg     *sync.WaitGroup
}

// What each worker has done: exactly once is both totals being right.
type tally struct {
	count, sum uint64
	sink       uint64
	_          [40]byte
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func now() int64 { return int64(time.Since(epoch)) }

type pool struct {
	jobs    chan job
	workers sync.WaitGroup
	tallies []tally
}

func start(workers int) *pool {
	p := &pool{jobs: make(chan job, ring), tallies: make([]tally, workers)}
	for i := 0; i < workers; i++ {
		p.workers.Add(1)
		t := &p.tallies[i]
		go func() {
			defer p.workers.Done()
			for j := range p.jobs {
				if j.fn != nil {
					j.fn(j.number)
				}
				t.count++
				t.sum += mix(j.number + 1)
				if j.wg != nil {
					j.wg.Done()
				}
			}
		}()
	}
	return p
}

// Wait for all of it, and check.
func (p *pool) drain(jobs uint64) {
	close(p.jobs)
	p.workers.Wait()
}

func (p *pool) check(jobs uint64) {
	var count, sum uint64
	for i := range p.tallies {
		count += p.tallies[i].count
		sum += p.tallies[i].sum
	}
	for i := uint64(0); i < jobs; i++ {
		sum -= mix(i + 1)
	}
	if count != jobs || sum != 0 {
		fmt.Fprintln(os.Stderr, "go: not every job ran exactly once")
		os.Exit(1)
	}
}

var sink uint64

func burn(number uint64) {
	x := turns
	for i := uint64(0); i < turns; i++ {
		x = x*6364136223846793005 + 1
	}
	if x == 1 { // never; but the loop must not be left out
		atomic.AddUint64(&sink, x)
	}
}

func nap(uint64)  { time.Sleep(10 * time.Millisecond) }
func note(uint64) { atomic.StoreInt64(&began, now()) }

func (p *pool) flood(fn func(uint64), ops uint64, producers int) {
	var wg sync.WaitGroup
	for i := 0; i < producers; i++ {
		from := ops * uint64(i) / uint64(producers)
		to := ops * uint64(i+1) / uint64(producers)
		send := func() {
			for n := from; n < to; n++ {
				p.jobs <- job{fn: fn, number: n}
			}
		}
		if producers == 1 {
			send()
			return
		}
		wg.Add(1)
		go func() { send(); wg.Done() }()
	}
	wg.Wait()
}

func (p *pool) fans(ops, size uint64) {
	var wg sync.WaitGroup
	for i := uint64(0); i < ops; i++ {
		wg.Add(int(size))
		for j := uint64(0); j < size; j++ {
			p.jobs <- job{number: i*size + j, wg: &wg}
		}
		wg.Wait()
	}
}

func (p *pool) wakes(ops uint64) []int64 {
	runtime.LockOSThread() // it sleeps as a thread does, not as a goroutine
	ns := make([]int64, ops)
	rest := syscall.Timespec{Nsec: idleNs}
	for i := range ns {
		atomic.StoreInt64(&began, 0)
		syscall.Nanosleep(&rest, nil)
		sent := now()
		p.jobs <- job{fn: note, number: uint64(i)}
		for atomic.LoadInt64(&began) == 0 {
			syscall.Nanosleep(&rest, nil)
		}
		ns[i] = atomic.LoadInt64(&began) - sent
	}
	sort.Slice(ns, func(i, j int) bool { return ns[i] < ns[j] })
	return ns
}

func usage() (cpu, switches int64) {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano(), u.Nvcsw + u.Nivcsw
}

func run(workload string, workers int, ops uint64, producers int) string {
	p := start(workers)
	jobs := ops
	var ns []int64
	cpu, switches := usage()
	from := now()
	switch workload {
	case "dispatch":
		p.flood(nil, ops, producers)
	case "burn":
		p.flood(burn, ops, producers)
	case "sleep":
		p.flood(nap, ops, producers)
	case "fan":
		p.fans(ops, fan)
		jobs *= fan
	case "trip":
		p.fans(ops, 1)
	case "wake":
		ns = p.wakes(ops)
	default:
		os.Exit(2)
	}
	p.drain(jobs)
	took := now() - from
	cpuEnd, switchesEnd := usage()
	p.check(jobs)
	per := func(x int64) float64 { return float64(x) / float64(ops) }
	var p50, p99, most int64
	each := per(took)
	if ns != nil {
		p50, p99, most = ns[len(ns)/2], ns[len(ns)*99/100], ns[len(ns)-1]
		each = float64(p50)
	}
	return fmt.Sprintf("%.3f %.3f %.6f %d %d %d", each, per(cpuEnd-cpu),
		per(switchesEnd-switches), p50, p99, most)
}

func main() {
	if len(os.Args) != 7 {
		os.Exit(2)
	}
	workload := os.Args[2]
	workers, _ := strconv.Atoi(os.Args[3])
	ops, _ := strconv.ParseUint(os.Args[4], 10, 64)
	producers, _ := strconv.Atoi(os.Args[5])
	turns, _ = strconv.ParseUint(os.Args[6], 10, 64)
	warm := ops/8 + 1
	if workload == "sleep" && warm > 2*uint64(workers) {
		warm = 2 * uint64(workers)
	}
	if workload == "wake" && warm > 5 {
		warm = 5
	}
	run(workload, workers, warm, producers)
	fmt.Println(run(workload, workers, ops, producers))
}
