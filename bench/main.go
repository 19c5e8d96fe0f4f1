// Command bench measures husk beside a Linux guest ("make bench"). Guest
// instructions come from QEMU's -icount, where one instruction is one virtual
// nanosecond, and are exact; wall-clock times are medians of alternating runs
// and mean something only as ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"husk/bench/linux"
)

func main() {
	var o options
	flag.StringVar(&o.husk, "husk", "bin/husk", "the husk command")
	flag.StringVar(&o.build, "build", "build/bench", "where programs are built")
	flag.BoolVar(&o.check, "check", false, "compare instructions with bench/baseline.txt and fail on a regression")
	flag.BoolVar(&o.record, "record", false, "write bench/baseline.txt")
	flag.IntVar(&o.boots, "boots", 11, "boots of each kind for wall-clock times; 0 leaves them out")
	flag.BoolVar(&o.net, "net", false, "measure servers over the network instead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // the machines end with it
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	husk, build   string
	check, record bool
	net           bool
	boots         int
}

// timeout bounds one machine's run.
const timeout = 10 * time.Minute

func run(ctx context.Context, o options) error {
	if o.net {
		return measureNet(ctx, os.Stdout, o)
	}
	programs, err := build(ctx, o.build)
	if err != nil {
		return err
	}
	if o.check {
		return check(ctx, o, programs)
	}
	ours := results{}
	for range runs {
		if err := measureHusk(ctx, o.husk, programs, ours); err != nil {
			return err
		}
	}
	if o.record {
		return writeBaseline(baselineFile, ours)
	}
	theirs, err := measureLinux(ctx, o.build, programs)
	if err != nil {
		return err
	}
	printTable(os.Stdout, ours, theirs)
	if o.boots > 0 {
		return wallClock(ctx, os.Stdout, o, programs)
	}
	return nil
}

// runs is how often husk is measured. Most values are the same each time, but
// waiting for the host's disk and where threads meet add to some: the least
// of several runs is the program's own.
const runs = 3

// check measures until nothing is worse than the baseline, and gives up after
// three times as many runs as usual.
func check(ctx context.Context, o options, p programs) error {
	best := results{}
	var err error
	for range 3 * runs {
		if err := measureHusk(ctx, o.husk, p, best); err != nil {
			return err
		}
		var report strings.Builder
		if err = checkBaseline(&report, baselineFile, best); err == nil {
			fmt.Print(report.String())
			return nil
		}
	}
	_ = checkBaseline(os.Stdout, baselineFile, best)
	return err
}

// programs are the binaries that run in the machines.
type programs struct{ bench, procs, init, hello string }

// shell is what the measurement of "sh -c true" executes.
const shell = "/bin/dash"

// build compiles the programs: static binaries but for procs, which holds
// what it executes.
func build(ctx context.Context, dir string) (programs, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return programs{}, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return programs{}, err
	}
	in := func(name string) string { return filepath.Join(abs, name) }
	define := func(name, path string) string { return "-D" + name + "=\"" + path + "\"" }
	p := programs{in("bench"), in("procs"), in("init"), in("hello")}
	for _, c := range []struct {
		out, source string
		flags       []string
	}{
		{p.bench, "bench.c", []string{"-static", "-pthread"}},
		{p.init, "init.c", []string{"-static"}},
		{p.hello, "hello.c", []string{"-static"}},
		{in("nop-static"), "nop.c", []string{"-static"}},
		{in("nop-dynamic"), "nop.c", nil},
		{p.procs, "procs.c", []string{
			define("STATIC", in("nop-static")), define("DYNAMIC", in("nop-dynamic")), define("SHELL", shell),
		}},
	} {
		source := filepath.Join("bench", "programs", c.source)
		cmd := exec.CommandContext(ctx, "gcc", slices.Concat([]string{"-O2", "-o", c.out}, c.flags, []string{source})...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return p, fmt.Errorf("compile %s: %w (install gcc and libc6-dev)", source, err)
		}
	}
	return p, nil
}

// measureHusk runs the measurements in husk and keeps the least values in best.
func measureHusk(ctx context.Context, husk string, p programs, best results) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, program := range []string{p.bench, p.procs} {
		cmd := exec.CommandContext(ctx, husk, "run", "--accel", "tcg", "--icount", "-m", "256M", program)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("husk run: %w; it said %q", err, out)
		}
		got, err := parseResults(string(out))
		if err != nil {
			return err
		}
		for name, v := range got {
			if old, ok := best[name]; !ok || v < old {
				best[name] = v
			}
		}
	}
	return nil
}

func measureLinux(ctx context.Context, dir string, p programs) (results, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	kernel, err := linux.Kernel(ctx, filepath.Join(dir, "linux"))
	if err != nil {
		return nil, err
	}
	initramfs, err := linux.Initramfs(dir, p.init, p.bench, p.procs)
	if err != nil {
		return nil, err
	}
	out, err := linux.Run(ctx, kernel, initramfs, "-icount", "shift=0,sleep=off")
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return parseResults(out)
}
