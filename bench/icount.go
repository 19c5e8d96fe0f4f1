package main

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// wrapVariable in the environment makes this program QEMU with instruction
// counting: husk is told to start it through HUSK_QEMU.
const wrapVariable = "HUSK_BENCH_ICOUNT"

// becomeQEMU replaces the process by QEMU. Counting needs all CPUs on one
// thread.
func becomeQEMU(args []string) error {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return err
	}
	args = slices.Clone(args)
	for i, a := range args {
		if a == "tcg,thread=multi" {
			args[i] = "tcg,thread=single"
		}
	}
	args = append([]string{qemu}, append(args, "-icount", "shift=0,sleep=off")...)
	return syscall.Exec(qemu, args, os.Environ())
}
