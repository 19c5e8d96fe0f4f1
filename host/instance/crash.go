package instance

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"husk/spec"
)

// FormatCrash writes the report of a fatal signal for people: the signal, the
// address, the backtrace, the mapped file, and then the registers. hostPath finds the host's copy of
// a file of the machine, for its symbols.
func FormatCrash(c *spec.Crash, hostPath func(string) string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "husk: %s: killed by %s", c.Command, signalName(c.Signal))
	if why := signalReason(c.Signal, c.Code); why != "" {
		fmt.Fprintf(&b, " (%s)", why)
	}
	if c.Reason != "" {
		fmt.Fprintf(&b, ": %s", c.Reason)
	}
	if c.PID != 1 || c.TID != c.PID {
		fmt.Fprintf(&b, ", process %d thread %d", c.PID, c.TID)
	}
	fmt.Fprintf(&b, "\n  address    %#x\n", c.Addr)
	files := symbolFiles{hostPath: hostPath}
	for i := 0; i < len(c.Frames); i++ {
		f := c.Frames[i]
		head := "           "
		if i == 0 {
			head = "  backtrace"
		}
		fmt.Fprintf(&b, "%s  #%-2d 0x%016x", head, i, f.PC)
		if f.File != "" {
			// A return address stands behind its call, where another
			// function may begin.
			back := uint64(0)
			if i > 0 {
				back = 1
			}
			if name := files.symbol(f.File, f.Offset, back); name != "" {
				fmt.Fprintf(&b, " %s", name)
			}
			fmt.Fprintf(&b, " in %s", path.Base(f.File))
		}
		b.WriteByte('\n')
		// Endless recursion is told in one line.
		same := 0
		for i+same+1 < len(c.Frames) && c.Frames[i+same+1] == f {
			same++
		}
		if same > 2 {
			fmt.Fprintf(&b, "             and %d times the same\n", same)
			i += same
		}
	}
	if len(c.Frames) > 0 && c.Frames[0].File != "" {
		fmt.Fprintf(&b, "  mapped     %s at offset %#x\n", c.Frames[0].File, c.Frames[0].Offset)
	}
	for i, line := range slices.Collect(slices.Chunk(strings.Fields(c.Registers), 4)) {
		head := "           "
		if i == 0 {
			head = "  registers"
		}
		for j, r := range line {
			if j < len(line)-1 {
				line[j] = fmt.Sprintf("%-20s", r)
			}
		}
		fmt.Fprintf(&b, "%s  %s\n", head, strings.Join(line, " "))
	}
	return b.Bytes()
}

// signalNames by number, as the guest has them.
var signalNames = [...]string{
	1: "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
	"SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP",
	"SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
}

func signalName(n int) string {
	if n > 0 && n < len(signalNames) {
		return signalNames[n]
	}
	return "signal " + strconv.Itoa(n)
}

// signalReason explains si_code, from sigaction(2).
func signalReason(sig, code int) string {
	reasons := map[[2]int]string{
		{4, 1}: "illegal opcode", {4, 2}: "illegal operand",
		{5, 1}: "breakpoint", {5, 2}: "trace trap",
		{7, 1}: "misaligned address", {7, 2}: "nothing behind this address", {7, 3}: "hardware error",
		{8, 1}: "integer division by zero", {8, 2}: "integer overflow", {8, 3}: "floating-point division by zero",
		{8, 4}: "floating-point overflow", {8, 5}: "floating-point underflow", {8, 6}: "floating-point inexact result",
		{8, 7}:  "invalid floating-point operation",
		{11, 1}: "address not mapped", {11, 2}: "no permission for this address", {11, 0x80}: "general protection fault",
	}
	switch {
	case reasons[[2]int{sig, code}] != "":
		return reasons[[2]int{sig, code}]
	case sig == 6:
		return "abort"
	}
	return ""
}
