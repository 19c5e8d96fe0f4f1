// Package stressng makes suites of stress-ng's stressors, one suite a class:
// each stressor runs for a moment with one worker and verifies what it did.
package stressng

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"husk/test/suites"
)

// Classes are the classes of stressors that exercise what husk has.
var Classes = []string{"scheduler", "interrupt", "signal", "pipe", "memory", "cpu", "os"}

// unfit are stressors that are left out on both sides: those that act on the
// whole machine, which natively is somebody's, and those that stress-ng itself
// runs only when told that the machine may go down.
var unfit = map[string]bool{
	"apparmor": true, "bad-ioctl": true, "bigheap": true, "binderfs": true, "brk": true, "clock": true, "cpu-online": true,
	"cyclic": true, "dev": true, "efivar": true, "full": true, "ioport": true, "klog": true, "loop": true,
	"memhotplug": true, "oom-pipe": true, "quota": true, "reboot": true, "resources": true, "rlimit": true, "smi": true,
	"softlockup": true, "stack": true, "swap": true, "sysinval": true, "watchdog": true, "x86syscall": true,
}

// script runs the stressors one after the other. What asks for memory or disk
// by default as if it had the machine to itself gets little.
const script = `seconds=$1; shift
dir=$(mktemp -d) && cd "$dir" || exit 1
for s; do
	echo "@@ begin $s"
	timeout -k 5 120 stress-ng --$s 1 --timeout $seconds --verify --oomable --temp-path . \
		--vm-bytes 16M --iomix-bytes 16M --hdd-bytes 16M
	echo "@@ end $s $?"
done
cd / && rm -rf "$dir"`

// Options say how long and which.
type Options struct {
	Seconds int
	Only    []string // stressors; none means all
}

// Suites makes the suites of classes. A stressor of several classes is run in
// the first of them.
func Suites(classes []string, o Options) ([]suites.Suite, error) {
	var list []suites.Suite
	seen := map[string]bool{}
	for _, class := range classes {
		names, err := stressors(class)
		if err != nil {
			return nil, err
		}
		args := []string{"/bin/sh", "-c", script, "sh", strconv.Itoa(o.Seconds)}
		n := len(args)
		for _, name := range names {
			if seen[name] || unfit[name] || !o.wants(name) {
				continue
			}
			seen[name] = true
			args = append(args, name)
		}
		if len(args) == n {
			continue
		}
		list = append(list, suites.Suite{
			Name: "stress-ng/" + class, Args: args, Dir: "/", Verdicts: Verdicts,
			Seconds: (len(args) - n) * (o.Seconds + 20),
			Without: func(tests []string) []string {
				without := append([]string{}, args[:n]...)
				for _, name := range args[n:] {
					if !contains(tests, name) {
						without = append(without, name)
					}
				}
				return without
			},
		})
	}
	return list, nil
}

// stressors lists those of a class. Old versions have no class "signal".
func stressors(class string) ([]string, error) {
	out, err := exec.Command("stress-ng", "--class", class+"?").CombinedOutput()
	if _, names, ok := strings.Cut(string(out), "stressors: "); ok {
		return strings.Fields(names), nil
	}
	if class != "signal" {
		return nil, fmt.Errorf("stress-ng --class %s?: %v: %s", class, err, out)
	}
	list, err := stressors("interrupt")
	return slices.DeleteFunc(list, func(name string) bool {
		return !strings.HasPrefix(name, "sig") && name != "kill"
	}), err
}

func (o *Options) wants(name string) bool { return len(o.Only) == 0 || contains(o.Only, name) }

func contains(list []string, name string) bool {
	for _, s := range list {
		if s == name {
			return true
		}
	}
	return false
}

// Verdicts reads what the script says. A stressor that does not do anything
// ends with success too, but says so.
func Verdicts(output []byte) map[string]suites.Verdict {
	verdicts := map[string]suites.Verdict{}
	skipped := false
	for line := range bytes.Lines(output) {
		mark, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if string(mark) != "@@" || !ok {
			skipped = skipped || bytes.Contains(line, []byte("skipp")) || bytes.Contains(line, []byte("not implemented"))
			continue
		}
		fields := strings.Fields(string(rest))
		switch {
		case len(fields) == 2 && fields[0] == "begin":
			verdicts[fields[1]], skipped = suites.Unfinished, false
		case len(fields) == 3 && skipped:
			verdicts[fields[1]] = suites.Skip
		case len(fields) == 3 && fields[2] == "0":
			verdicts[fields[1]] = suites.Pass
		case len(fields) == 3:
			verdicts[fields[1]] = suites.Fail
		}
	}
	return verdicts
}
