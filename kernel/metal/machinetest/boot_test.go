//go:build baremetal

package machinetest

import (
	"testing"

	"husk/kernel/cpu"
)

func TestModules(t *testing.T) {
	n, ok := expected("expect_module=")
	if !ok {
		t.Skip("none expected")
	}
	ms := cpu.Modules()
	if len(ms) != 1 || len(ms[0]) != n || string(ms[0]) != "a boot module" {
		t.Fatalf("%q", ms)
	}
}
