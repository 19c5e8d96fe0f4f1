package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Exit statuses of a program that cannot be started, as a shell has them.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// findProgram gives the absolute path of what a shell would execute for name.
func findProgram(name string) (string, error) {
	if strings.Contains(name, "/") {
		if err := executable(name); err != nil {
			return "", err
		}
		return filepath.Abs(name)
	}
	var refused error
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		if name == "" {
			break
		}
		if dir == "" {
			dir = "."
		}
		path := filepath.Join(dir, name)
		err := executable(path)
		if err == nil {
			return filepath.Abs(path)
		}
		var end *exitError
		if errors.As(err, &end) && end.status == statusNotExecutable && refused == nil {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", &exitError{statusNotFound, fmt.Errorf("run %s: not found in PATH", name)}
}

// executable says why path cannot be executed.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return &exitError{statusNotFound, fmt.Errorf("run %s: no such file", path)}
	case err != nil:
		return &exitError{statusNotExecutable, fmt.Errorf("run %s: %w", path, errors.Unwrap(err))}
	case info.IsDir():
		return &exitError{statusNotExecutable, fmt.Errorf("run %s: is a directory", path)}
	case !info.Mode().IsRegular():
		return &exitError{statusNotExecutable, fmt.Errorf("run %s: not a regular file", path)}
	case info.Mode()&0o111 == 0:
		return &exitError{statusNotExecutable, fmt.Errorf("run %s: not executable (try 'chmod +x %s')", path, path)}
	}
	return nil
}
