package terminal

import "os"

// sameInode tells whether a and b are the same terminal, pipe or socket.
func sameInode(a, b *os.File) bool {
	i, err := a.Stat()
	if err != nil || i.Mode().IsRegular() {
		return false
	}
	j, err := b.Stat()
	return err == nil && os.SameFile(i, j)
}
