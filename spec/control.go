package spec

// Message is one message of the control port: one JSON object on a line of
// its own. Exactly one member besides Type is set, the one that Type names.
// Either side ignores types it does not know.
type Message struct {
	Type    string       `json:"type"`
	Signal  int          `json:"signal,omitempty"`  // TypeSignal: a signal number for the first process; TypeStopped: the one that stopped it
	Winsize *ConsoleSize `json:"winsize,omitempty"` // TypeWinsize
	Bytes   uint64       `json:"bytes,omitempty"`   // TypeStdinEnd: how many bytes stdin had in all
	Exit    *Exit        `json:"exit,omitempty"`    // TypeExit
	Text    string       `json:"text,omitempty"`    // TypeNotice: one line for the user
}

// Types of messages.
const (
	// Host to guest.
	TypeSignal   = "signal"
	TypeWinsize  = "winsize"
	TypeStdinEnd = "stdin-end"
	// Guest to host.
	TypeStopped     = "stopped" // the first process: see AnnotationTermios
	TypeReady       = "ready"
	TypeStdinWanted = "stdin-wanted"
	TypeExit        = "exit"
	TypeNotice      = "notice"
)

// ReadyAsks as the Text of TypeReady announces that the guest sends
// TypeStdinWanted when the program first reads stdin or asks whether it can.
// The host leaves its own stdin alone until then, as a shell's loop or a job
// in the background expects of a program that does not read. Without it, and
// always with a terminal, the host sends from the start.
const ReadyAsks = "asks"

// Exit is the report with which a machine ends. The machine has then written
// Stdout and Stderr bytes to those ports; the host reads that many before it
// exits.
type Exit struct {
	// Code is the exit status when Signal is 0.
	Code   int `json:"code"`
	Signal int `json:"signal,omitempty"`
	// Error is set when the program could not be started: the errno's name
	// and sentence; Code is then 126 or 127, or 125 for the kernel's own failure.
	Error  string `json:"error,omitempty"`
	Crash  *Crash `json:"crash,omitempty"`
	Stdout uint64 `json:"stdout"`
	Stderr uint64 `json:"stderr"`
	Trace  uint64 `json:"trace,omitempty"`
}

// Crash describes a fatal signal that the program's own code raised, or the
// kernel's reason to kill it (out of memory).
type Crash struct {
	Signal  int     `json:"signal"`
	Code    int     `json:"code"`
	Addr    uint64  `json:"addr"`
	PID     int     `json:"pid"`
	TID     int     `json:"tid"`
	Command string  `json:"command"`
	Reason  string  `json:"reason,omitempty"`
	Frames  []Frame `json:"frames,omitempty"`
	// Registers in the order of the kernel's report, name=value.
	Registers string `json:"registers,omitempty"`
}

// Frame is one frame of a backtrace: an address, and where it lies in a
// mapped file. The host resolves symbols.
type Frame struct {
	PC     uint64 `json:"pc"`
	File   string `json:"file,omitempty"`
	Offset uint64 `json:"offset,omitempty"` // file offset of the instruction
}
