// Command mkkernel turns the output of "go build" into a bootable kernel.
//
//	go build -tags baremetal -ldflags "-T -2145382400 -E husk/kernel/metal.entry" -o k ./cmd/kernel
//	mkkernel -o kernel.elf k
//
// The linker can place the program in the top 2 GiB (-T takes a signed
// number: 0xffffffff80201000), but it cannot say where it lies in physical
// memory, knows no 32-bit code and makes no page tables. mkkernel writes a
// fresh ELF file with those: see link.go.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "kernel.elf", "output `file`")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: mkkernel [-o FILE] PROGRAM")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *out); err != nil {
		fmt.Fprintf(os.Stderr, "mkkernel: %v\n", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	program, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	kernel, err := link(program)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, kernel, 0o755)
}
