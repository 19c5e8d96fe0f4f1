package vmm

import (
	"errors"
	"os"
)

// SocketPair has no counterpart on Windows, where machines cannot be started
// yet: images and packages can be made there.
func SocketPair(string) (ours, theirs *os.File, err error) {
	return nil, nil, errors.New("machines cannot be started on Windows yet")
}
