package pkgs

import "golang.org/x/sys/unix"

// mountSmall needs rights that a build machine may not give.
func mountSmall(dir string) error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m") }

func unmount(dir string) { _ = unix.Unmount(dir, unix.MNT_DETACH) }
