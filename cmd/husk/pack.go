package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"syscall"

	"husk/host/config"
	"husk/host/elfdeps"
	"husk/host/image"
	"husk/host/instance"
	"husk/host/rootfs"
	"husk/host/vmm"
)

// pack gives the image with what a program needs and the files that more adds
// to it, as a disk, and the program's path in it. Where the cache cannot be
// written it makes the image in memory.
func pack(o rootfs.Options, more *config.Config) (disk vmm.Disk, program string, err error) {
	// An interrupted write removes its temporary file.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if !more.HasFiles() {
		if got, err := image.Cached(ctx, o); err == nil {
			return vmm.Disk{Path: got.Path, Readonly: true}, got.Program, nil
		}
	}
	if ctx.Err() != nil {
		return disk, "", &exitError{status: instance.Status(int(syscall.SIGINT))}
	}
	tree, err := rootfs.Build(o)
	if err != nil {
		return disk, "", refused(err)
	}
	if more.HasFiles() {
		if err := more.Place(tree); err != nil {
			return disk, "", err
		}
		if cache, err := image.OpenCache(); err == nil {
			if path, err := cache.Put(ctx, tree); err == nil {
				return vmm.Disk{Path: path, Readonly: true}, tree.Program, nil
			}
		}
	}
	f, err := vmm.File("image", nil)
	if err != nil {
		return disk, "", err
	}
	if err := image.Write(f, tree, image.Options{Context: ctx}); err != nil {
		f.Close()
		return disk, "", fmt.Errorf("make the root image: %w", err)
	}
	return vmm.Disk{File: f, Readonly: true}, tree.Program, nil
}

// refused gives a program that cannot run the status that a shell would.
func refused(err error) error {
	var format *elfdeps.FormatError
	var missing *elfdeps.NotFoundError
	switch {
	case errors.As(err, &format):
		return cannotStart(statusNotExecutable, "", err)
	case errors.As(err, &missing):
		return &exitError{statusNotFound, err}
	case errors.Is(err, fs.ErrNotExist):
		return cannotStart(statusNotFound, "", err)
	}
	return err
}
