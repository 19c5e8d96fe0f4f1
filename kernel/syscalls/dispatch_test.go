package syscalls

import "testing"

func TestDescribe(t *testing.T) {
	cases := []struct {
		nr                       uint64
		name, args, ret, classes string
	}{
		{0, "read", "fd fd, buf out/count, count size", "size", "desc"},
		{24, "sched_yield", "", "int", ""},
		{tableSize - 1, "set_mempolicy_home_node", "start ptr, len size, home_node ulong, flags hex", "int", "memory"},
		{400, "", "", "", ""}, // between the old numbers and those of all architectures
		{tableSize, "", "", "", ""},
		{1 << 63, "", "", "", ""},
	}
	for _, c := range cases {
		name, args, ret, classes := Describe(c.nr)
		if name != c.name || args != c.args || ret != c.ret || classes != c.classes {
			t.Errorf("%d: %q %q %q %q", c.nr, name, args, ret, classes)
		}
	}
}
