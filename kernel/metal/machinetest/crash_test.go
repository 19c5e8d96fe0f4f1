//go:build baremetal

package machinetest

import (
	"runtime/debug"
	"strings"
	"testing"
	"time"
	"unsafe"

	"husk/kernel/cpu"
)

// TestCrash does what the command line asks for: test/metal looks at how the
// machine ends.
func TestCrash(t *testing.T) {
	for _, w := range strings.Fields(cpu.CommandLine()) {
		if how, ok := strings.CutPrefix(w, "crash="); ok {
			crash(t, how)
		}
	}
}

func crash(t *testing.T, how string) {
	at := func(addr uintptr) *byte { return *(**byte)(unsafe.Pointer(&addr)) }
	switch how {
	case "panic":
		go panic("on purpose")
		select {}
	case "metal":
		// metal reads for itself what it is told to print: nothing is there.
		cpu.WriteSerial(unsafe.Slice(at(0x1000), 1))
	case "idle":
		time.Sleep(3 * time.Second)
	case "write-text":
		mustFault(t, func() { *at(0xffffffff80201000) = 0xcc })
	case "write-rodata":
		const s = "a string of the read-only data"
		mustFault(t, func() { *unsafe.StringData(s) = 'A' })
	case "write-data":
		mustFault(t, func() {
			code := []byte{0xc3}
			p := &code
			f := *(*func())(unsafe.Pointer(&p))
			f() // data must not be executed
		})
	}
}

func mustFault(t *testing.T, f func()) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() == nil {
			t.Fatal("no fault")
		}
	}()
	f()
}
