package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrBusy is wrapped by the error of who cannot have a lock in time.
var ErrBusy = errors.New("another husk is at work in it; try again when that has ended")

// lock takes a lock on a file, which stays when the lock is gone. The system
// gives it back when the process ends, however it ends.
func lock(file string, exclusive bool, wait time.Duration) (io.Closer, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the image store: %w", err)
	}
	pause := time.Millisecond
	for end := time.Now().Add(wait); ; {
		ok, err := tryLock(f, exclusive)
		if ok {
			return f, nil
		}
		if err == nil && time.Now().After(end) {
			err = ErrBusy
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock the image store %s: %w", filepath.Dir(file), err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}
