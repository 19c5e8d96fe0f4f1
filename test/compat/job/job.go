// Package job is what the compatibility sweep and its driver say to each other.
package job

// Limit is how many bytes of each stream a result keeps.
const Limit = 64 << 10

// Job is one program to run.
type Job struct {
	ID      int      `json:"id"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Seconds int      `json:"seconds"`
}

// Result is what it did. Status is as a shell has it: 128+n after signal n.
type Result struct {
	ID       int    `json:"id"`
	Status   int    `json:"status"`
	TimedOut bool   `json:"timedOut,omitempty"`
	Error    string `json:"error,omitempty"`
	Stdout   []byte `json:"stdout,omitempty"`
	Stderr   []byte `json:"stderr,omitempty"`
}
