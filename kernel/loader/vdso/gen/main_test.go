package main

import (
	"bytes"
	"debug/elf"
	"os"
	"testing"
)

func TestImageIsUpToDate(t *testing.T) {
	got, err := os.ReadFile("../vdso.bin")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, build()) {
		t.Fatal("vdso.bin differs from what its source makes: run 'go generate ./kernel/loader/vdso'")
	}
}

func TestImageHasTheSymbolsOfTheManual(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(build()))
	if err != nil {
		t.Fatal(err)
	}
	// vdso(7), "x86-64 functions", all of version LINUX_2.6.
	want := []string{"__vdso_clock_gettime", "__vdso_getcpu", "__vdso_gettimeofday", "__vdso_time"}
	var load, dynamic bool
	for _, p := range f.Progs {
		load = load || p.Type == elf.PT_LOAD && p.Flags == elf.PF_R|elf.PF_X
		dynamic = dynamic || p.Type == elf.PT_DYNAMIC
	}
	if !load || !dynamic {
		t.Fatal("the image lacks PT_LOAD or PT_DYNAMIC")
	}
	code := build()
	for _, name := range want {
		if !bytes.Contains(code[:textAt], append([]byte(name), 0)) {
			t.Errorf("no symbol %s", name)
		}
	}
}
