// Package vdso is the user vDSO (vdso(7)): a page of code that reads the clock
// and the CPU number in ring 3, and the layout of the data page before it.
//
// The image is an ELF shared object of one page, made by the program in gen
// from its assembly source; its code addresses the data page, which is always
// mapped directly below it, relative to itself.
package vdso

import (
	_ "embed"
	"encoding/binary"
)

//go:generate go run ./gen

//go:embed vdso.bin
var image string

// Image is the code page: one page long, to be mapped readable and executable.
func Image() string { return image }

// Data is the content of the data page. The code retries while Seq is odd or
// changes, so a writer makes it odd first and even again last.
type Data struct {
	Seq   uint64
	Base  uint64 // TSC at monotonic zero
	Mult  uint64 // ns = (tsc-Base)*Mult >> Shift
	Shift uint64
	// RealOffset is CLOCK_REALTIME minus CLOCK_MONOTONIC, TAIOffset
	// CLOCK_TAI minus CLOCK_MONOTONIC, in nanoseconds.
	RealOffset uint64
	TAIOffset  uint64
	// Flags say what the machine allows.
	Flags uint64
}

// Flags of Data.
const (
	FlagClock  = 1 << iota // the TSC is usable from ring 3
	FlagTSCAux             // RDTSCP gives the CPU number
)

// DataSize is the number of bytes that Encode writes.
const DataSize = 7 * 8

// Encode writes d as the code expects it at the start of the data page.
func (d *Data) Encode(p []byte) {
	for i, v := range [...]uint64{d.Seq, d.Base, d.Mult, d.Shift, d.RealOffset, d.TAIOffset, d.Flags} {
		binary.LittleEndian.PutUint64(p[i*8:], v)
	}
}
