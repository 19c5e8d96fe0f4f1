package instance

import (
	"debug/elf"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"husk/spec"
)

func TestCrashReportNamesSignalAddressBacktraceAndFileInThatOrder(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A function of this very program, 3 bytes in.
	e, err := elf.Open(self)
	if err != nil {
		t.Skip(err)
	}
	defer e.Close()
	symbols, err := e.Symbols()
	if err != nil {
		t.Skip(err)
	}
	var offset uint64
	for _, s := range symbols {
		if strings.HasSuffix(s.Name, "instance.FormatCrash") {
			for _, p := range e.Progs {
				if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
					offset = s.Value - p.Vaddr + p.Off
				}
			}
		}
	}
	if offset == 0 {
		t.Fatalf("%v has no symbol", reflect.TypeOf(FormatCrash))
	}
	got := string(FormatCrash(&spec.Crash{
		Signal: 8, Code: 1, Addr: 0x401234, PID: 1, TID: 7, Command: "prog", Reason: "because",
		Frames:    []spec.Frame{{PC: 0x401234, File: "/bin/prog", Offset: offset + 3}, {PC: 0x7000, File: "/bin/none"}, {PC: 5}, {PC: 5}, {PC: 5}, {PC: 5}},
		Registers: "rip=1 rsp=2 rbp=3 rax=4 rbx=5",
	}, func(p string) string {
		if p == "/bin/prog" {
			return self
		}
		return p
	}))
	want := regexp.MustCompile(`^husk: prog: killed by SIGFPE \(integer division by zero\): because, process 1 thread 7
  address    0x401234
  backtrace  #0  0x0000000000401234 husk/host/instance\.FormatCrash\+0x3 in prog
             #1  0x0000000000007000 in none
             #2  0x0000000000000005
             and 3 times the same
  mapped     /bin/prog at offset 0x[0-9a-f]+
  registers  rip=1 +rsp=2 +rbp=3 +rax=4
             rbx=5
$`)
	if !want.MatchString(got) {
		t.Errorf("got:\n%s", got)
	}
}
