//go:build !linux

package vmm

import "os"

func nameless(name string) (*os.File, error) {
	f, err := os.CreateTemp("", "husk-"+name+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
