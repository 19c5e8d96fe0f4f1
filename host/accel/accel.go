// Package accel finds out whether this host can run guests on its processor.
// That a device exists proves nothing, so a small real guest is run; what it
// said is kept until the host boots again.
package accel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Names of accelerators, as QEMU knows them.
const (
	KVM = "kvm"
	HVF = "hvf"
	TCG = "tcg"
)

// ErrAbsent is the verdict of a host that has no accelerator at all.
var ErrAbsent = errors.New("this host has no /dev/kvm")

// Choice is what "auto" came to.
type Choice struct {
	Name   string // KVM or TCG
	Reason error  // why it is TCG
	Cached bool   // by an earlier probe since the host booted
}

// Choose probes, or recalls what an earlier probe said. An empty cacheDir
// always probes.
func Choose(cacheDir string) Choice {
	boot := bootID()
	file := filepath.Join(cacheDir, "accel")
	if cacheDir != "" && boot != "" {
		if b, err := os.ReadFile(file); err == nil {
			if c, ok := recall(string(b), boot); ok {
				return c
			}
		}
	}
	err := Probe()
	if cacheDir != "" && boot != "" {
		remember(file, boot, err)
	}
	return verdict(err)
}

// Reject records that the accelerator does not run our machines although
// the probe was content.
func Reject(cacheDir string, reason error) {
	if boot := bootID(); cacheDir != "" && boot != "" {
		remember(filepath.Join(cacheDir, "accel"), boot, reason)
	}
}

func verdict(err error) Choice {
	if err != nil {
		return Choice{Name: TCG, Reason: err}
	}
	return Choice{Name: KVM}
}

// The cache is two lines: the identity of the host's boot and of the user's
// right to the device, and the verdict.
func recall(text, boot string) (Choice, bool) {
	id, reason, ok := strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
	if !ok || id != boot {
		return Choice{}, false
	}
	var err error
	switch reason {
	case "ok":
	case ErrAbsent.Error():
		err = ErrAbsent
	default:
		err = errors.New(reason)
	}
	c := verdict(err)
	c.Cached = true
	return c, true
}

// remember may fail: then the next start probes again.
func remember(file, boot string, err error) {
	reason := "ok"
	if err != nil {
		reason = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	if os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return
	}
	f, e := os.CreateTemp(filepath.Dir(file), ".accel-")
	if e != nil {
		return
	}
	_, e = f.WriteString(boot + "\n" + reason + "\n")
	if f.Close() != nil || e != nil || os.Rename(f.Name(), file) != nil {
		os.Remove(f.Name())
	}
}
