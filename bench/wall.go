package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"husk/host/vmm/qemu"
)

// wallClock measures from the start of husk to the end of a static hello
// beside a bare stub that only turns the machine off, in turns.
func wallClock(ctx context.Context, w io.Writer, o options, p programs) error {
	var stub, hello []time.Duration
	for range o.boots {
		took, err := qemu.Try("microvm", "tcg", time.Minute)
		if err != nil {
			return err
		}
		stub = append(stub, took)
		start := time.Now()
		if err := runHello(ctx, o.husk, p.hello, "64M"); err != nil {
			return err
		}
		hello = append(hello, time.Since(start))
	}
	fmt.Fprintf(w, "\n| wall clock, microvm, TCG, median of %d | ms |\n|---|--:|\n", o.boots)
	fmt.Fprintf(w, "| QEMU with a bare stub | %.0f |\n", milliseconds(median(stub)))
	fmt.Fprintf(w, "| husk run of a static hello | %.0f |\n", milliseconds(median(hello)))
	fmt.Fprintf(w, "| more than the stub | %.0f |\n", milliseconds(median(hello)-median(stub)))
	smallest := 0
	for mib := 4; mib <= 64; mib++ {
		if runHello(ctx, o.husk, p.hello, strconv.Itoa(mib)+"M") == nil {
			smallest = mib
			break
		}
	}
	fmt.Fprintf(w, "\nsmallest memory for hello: %d MiB\n", smallest)
	if info, err := os.Stat("build/kernel.elf"); err == nil {
		fmt.Fprintf(w, "kernel image: %.2f MiB\n", float64(info.Size())/(1<<20))
	}
	return nil
}

// runHello runs hello once and checks its answer.
func runHello(ctx context.Context, husk, program, memory string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, husk, "run", "--accel", "tcg", "-m", memory, program).Output()
	if err != nil {
		return fmt.Errorf("husk run -m %s: %w", memory, err)
	}
	if !strings.HasPrefix(string(out), "hello") {
		return fmt.Errorf("hello said %q", out)
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
