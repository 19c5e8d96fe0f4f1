package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"husk/host/accel"
	"husk/host/embedded"
	"husk/host/vmm/qemu"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Explain what this host offers and what is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !examine(cmd.OutOrStdout()) {
				return &exitError{status: 1}
			}
			return nil
		},
	}
}

// examine prints one line a finding and tells whether machines can run.
func examine(w io.Writer) (healthy bool) {
	say := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	healthy = true
	say("husk", "%s", strings.TrimLeft(strings.TrimPrefix(version(), "husk"), ", "))

	kernel := os.Getenv("HUSK_KERNEL")
	if f, err := embedded.Kernel(kernel, embedded.Plain); err != nil {
		say("kernel", "missing: %v", err)
		healthy = false
	} else {
		size := int64(0)
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		f.Close()
		if kernel == "" {
			kernel = "inside husk"
		}
		say("kernel", "%s, %.1f MB", kernel, float64(size)/1e6)
	}

	path, err := qemu.Find()
	if err != nil {
		say("qemu", "%v", err)
		return false
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		say("qemu", "%s: %v", path, err)
		return false
	}
	say("qemu", "%s: %s", path, firstLine(string(out)))

	choice := accel.Choose("")
	switch {
	case choice.Reason == nil:
		say("accelerator", "%s: a test guest ran in long mode, in ring 3 and with SSE", choice.Name)
	case errors.Is(choice.Reason, accel.ErrAbsent):
		say("accelerator", "none, programs run emulated (tcg): %v", choice.Reason)
	default:
		say("accelerator", "unusable, programs run emulated (tcg): %v", choice.Reason)
	}
	for _, machine := range []string{"microvm", "q35"} {
		took, err := qemu.Try(machine, choice.Name, 10*time.Second)
		if err != nil {
			say(machine, "does not start with %s: %v", choice.Name, err)
			healthy = false
			continue
		}
		say(machine, "starts in %.0f ms with %s", float64(took.Microseconds())/1000, choice.Name)
	}

	if dir := cacheDir(); dir == "" {
		say("cache", "none: set HOME or XDG_CACHE_HOME, or images are made anew each time")
	} else if err := writable(dir); err != nil {
		say("cache", "%v: images are made anew each time", err)
	} else {
		say("cache", "%s", dir)
	}
	return healthy
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}
