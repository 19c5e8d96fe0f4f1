package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// results are the lines "name value" of the measuring program.
type results map[string]uint64

// measurement is a row of the table: its name in the results, what it is, and
// the most instructions it may take; 0 stands for portion of what Linux takes.
type measurement struct {
	name, title string
	target      uint64
}

// portion of Linux's instructions is the target of what has none of its own,
// in percent.
const portion = 60

var measurements = []measurement{
	{"main", "kernel entry to the program's main", 1_200_000},
	{"null-call", "null system call", 210},
	{"fault", "anonymous fault, isolated", 1100},
	{"fault-sequential", "anonymous fault in sequence, a page", 300},
	{"pipe", "pipe write and read, one thread", 1100},
	{"thread-pingpong", "ping-pong of two threads over pipes", 4900},
	{"pthread-create-join", "pthread create and join", 18_000},
	{"mmap-munmap", "mmap, touch, munmap of 16 KiB", 5500},
	{"pread-4k", "pread 4 KiB, cached", 2000},
	{"stat", "stat of a path of three components", 3000},
	{"open-close", "open and close", 4500},
	{"clock-gettime", "clock_gettime", 75},
	{"epoll-wait", "epoll_wait(0)", 405},
	{"unix-roundtrip", "64 bytes to another thread and back, unix socket", 0},
	{"tcp-roundtrip", "64 bytes to another thread and back, TCP loopback", 9000},
	{"udp-roundtrip", "64 bytes to another thread and back, UDP loopback", 0},
	{"tcp-connect", "TCP connect, accept and close, loopback", 0},
	{"unix-bulk", "a mebibyte to another thread, unix socket", 0},
	{"tcp-bulk", "a mebibyte to another thread, TCP loopback", 0},
	{"fork-exit-wait", "fork, exit, wait, dynamic program", 0},
	{"fork-exec-static", "fork, exec of a static program, exit, wait", 0},
	{"fork-exec-dynamic", "fork, exec of a dynamic program, exit, wait", 0},
	{"posix-spawn", "posix_spawn of a static program, exit, wait", 0},
	{"sh-c-true", "fork, exec of sh -c true, exit, wait", 0},
	{"signal-self", "signal to oneself, with a handler", 0},
	{"signal-processes", "signal to another process and one back", 0},
	{"process-pingpong", "ping-pong of two processes over pipes", 0},
	{"pty-echo", "character typed on a pty, echoed and read", 0},
	{"pty-roundtrip", "line to another process over a pty and back", 0},
}

// parseResults reads the measuring program's output, which may stand among a
// console's other lines.
func parseResults(text string) (results, error) {
	r := results{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if n, err := strconv.ParseUint(value, 10, 64); ok && err == nil {
			r[name] = n
		}
	}
	if _, ok := r["end"]; !ok {
		return r, fmt.Errorf("the measurements did not run to their end: %q", text)
	}
	return r, nil
}

func printTable(w io.Writer, ours, theirs results) {
	fmt.Fprintf(w, "| guest instructions | husk | Linux 6.1 | ratio | target |\n|---|--:|--:|--:|--:|\n")
	for _, m := range measurements {
		a, b := ours[m.name], theirs[m.name]
		mark, target := "", m.target
		if target == 0 {
			target = b * portion / 100
		}
		if a > target {
			mark = " (missed)"
		}
		fmt.Fprintf(w, "| %s | %d | %d | %.2f | ≤ %d%s |\n", m.title, a, b, float64(a)/float64(max(b, 1)), target, mark)
	}
}

const (
	baselineFile = "bench/baseline.txt"
	// tolerance is the regression that fails, in percent.
	tolerance = 5
)

func writeBaseline(path string, r results) error {
	var b strings.Builder
	b.WriteString("# Guest instructions, as 'go run ./bench -record' wrote them; 'go run ./bench -check' fails on more than 5 % over them.\n")
	b.WriteString("# main holds its target: waiting for the disk of a busy host adds to it.\n")
	for _, m := range measurements {
		v := r[m.name]
		if m.name == "main" {
			v = max(v, m.target)
		}
		fmt.Fprintf(&b, "%s %d\n", m.name, v)
	}
	b.WriteString("end 0\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// checkBaseline fails when a measurement is worse than recorded by more than
// the tolerance.
func checkBaseline(w io.Writer, path string, r results) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	recorded, err := parseResults(string(text))
	if err != nil {
		return err
	}
	worse := false
	for _, m := range measurements {
		was, is := recorded[m.name], r[m.name]
		verdict := "ok"
		if is*100 > was*(100+tolerance) {
			verdict, worse = "worse", true
		}
		fmt.Fprintf(w, "%-22s %9d, recorded %9d  %s\n", m.name, is, was, verdict)
	}
	if worse {
		return errors.New("a measurement is worse than bench/baseline.txt by more than 5 %: find out why, or record it anew with 'go run ./bench -record' and say why")
	}
	return nil
}
