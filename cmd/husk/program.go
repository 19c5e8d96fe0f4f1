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

// programError says why a program cannot be started, to who wants to do verb.
type programError struct {
	verb, program string
	err           error
}

func (e *programError) Error() string {
	if e.program == "" {
		return e.verb + " " + e.err.Error()
	}
	return e.verb + " " + e.program + ": " + e.err.Error()
}

func (e *programError) Unwrap() error { return e.err }

func cannotStart(status int, program string, err error) error {
	return &exitError{status, &programError{"run", program, err}}
}

// inOrderTo names what the program was wanted for, if not to run it.
func inOrderTo(verb string, err error) error {
	var e *programError
	if errors.As(err, &e) {
		e.verb = verb
	}
	return err
}

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
	return "", cannotStart(statusNotFound, name, errors.New("not found in PATH"))
}

// executable says why path cannot be executed.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return cannotStart(statusNotFound, path, errors.New("no such file"))
	case err != nil:
		return cannotStart(statusNotExecutable, path, errors.Unwrap(err))
	case info.IsDir():
		return cannotStart(statusNotExecutable, path, errors.New("is a directory"))
	case !info.Mode().IsRegular():
		return cannotStart(statusNotExecutable, path, errors.New("not a regular file"))
	case info.Mode()&0o111 == 0:
		return cannotStart(statusNotExecutable, path, fmt.Errorf("not executable (try 'chmod +x %s')", path))
	}
	return nil
}
