//go:build !linux

package pkgs

import "errors"

func mountSmall(string) error { return errors.ErrUnsupported }

func unmount(string) {}
