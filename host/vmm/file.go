package vmm

import (
	"fmt"
	"io"
	"os"
)

// File makes a file without a name that holds what r gives (nil: nothing yet),
// for the monitor to inherit. Nothing has to be removed afterwards.
func File(name string, r io.Reader) (*os.File, error) {
	f, err := nameless(name)
	if err != nil || r == nil {
		return f, err
	}
	// A large buffer: this copies the kernel at every start.
	if _, err := io.CopyBuffer(onlyWriter{f}, onlyReader{r}, make([]byte, 256<<10)); err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s for the monitor: %w", name, err)
	}
	return f, nil
}

// These hide ReadFrom and WriteTo, which would choose a buffer of their own.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)
