// Package job is what the suites and their driver say to each other.
package job

// Job is one suite to run.
type Job struct {
	ID      int      `json:"id"`
	Args    []string `json:"args"`
	Dir     string   `json:"dir"`
	Env     []string `json:"env"`
	Seconds int      `json:"seconds"`
}

// Event is a piece of a suite's output, or its end.
type Event struct {
	ID      int     `json:"id"`
	Output  []byte  `json:"output,omitempty"`
	Ended   string  `json:"ended,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}
