package sys

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// mounted returns a thread whose root is a fresh sysfs.
func mounted(t *testing.T) *vfstest.Caller {
	t.Helper()
	c := vfstest.New()
	sb, err := mount(c, "sysfs", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	c.SetFS(vfs.NewFSContext(vfs.NewMountNamespace(sb, 0).Root()))
	return c
}

func read(t *testing.T, c vfs.Caller, path string) string {
	t.Helper()
	f, err := vfs.Open(c, path, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	defer f.Put()
	p := make([]byte, 8192)
	b := mm.KernelBuffer(p)
	n, err := f.Read(c, &b)
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return string(p[:n])
}

func TestCachesAreThoseOfTheProcessor(t *testing.T) {
	c := mounted(t)
	for i := 0; ; i++ {
		dir := "/devices/system/cpu/cpu0/cache/index" + strconv.Itoa(i) + "/"
		if _, err := os.Stat("/sys" + dir); err != nil {
			if i == 0 {
				t.Skip("Linux shows no caches here")
			}
			if _, ok := cpu.CacheLevel(i); ok {
				t.Errorf("Linux has only %d caches", i)
			}
			return
		}
		for _, name := range []string{"level", "type", "size", "ways_of_associativity", "number_of_sets", "coherency_line_size", "physical_line_partition"} {
			theirs, err := os.ReadFile("/sys" + dir + name)
			if err != nil {
				continue
			}
			if ours := read(t, c, dir+name); ours != string(theirs) {
				t.Errorf("%s%s is %q, on Linux %q", dir, name, ours, theirs)
			}
		}
	}
}

func TestProcessorsAreCounted(t *testing.T) {
	c := mounted(t)
	want := "0\n"
	if n := cpu.CPUs(); n > 1 {
		want = "0-" + strconv.Itoa(n-1) + "\n"
	}
	for _, path := range []string{"/devices/system/cpu/online", "/devices/system/cpu/possible", "/devices/system/cpu/present", "/devices/system/node/node0/cpulist"} {
		if s := read(t, c, path); s != want {
			t.Errorf("%s is %q, want %q", path, s, want)
		}
	}
	for path, want := range map[string]error{
		"/devices/system/cpu/cpu0/topology/core_id": nil,
		"/bus/cpu/devices/cpu0/topology":            nil,
		"/devices/system/node/node0/cpu0/cache":     nil,
		"/devices/system/cpu/cpu00":                 unix.ENOENT,
		"/devices/system/cpu/cpu64":                 unix.ENOENT,
		"/devices/system/cpu/cpu-1":                 unix.ENOENT,
		"/devices/system/cpu/cpu":                   unix.ENOENT,
	} {
		if _, err := vfs.Lookup(c, nil, path, vfs.Follow); err != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

func TestDevicesAreFoundByClassAndNumber(t *testing.T) {
	pseudo.RegisterDisk(pseudo.Disk{Name: "vda", Major: 254, Sectors: 2048, ReadOnly: true})
	c := mounted(t)
	for path, want := range map[string]string{
		"/class/mem/null/dev":                "1:3\n",
		"/dev/char/5:0/uevent":               "MAJOR=5\nMINOR=0\nDEVNAME=tty\nDEVMODE=0666\n",
		"/dev/block/254:0/size":              "2048\n",
		"/block/vda/ro":                      "1\n",
		"/class/block/vda/uevent":            "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n",
		"/class/net/lo/ifindex":              "1\n",
		"/block/vda/subsystem/vda/dev":       "254:0\n",
		"/class/tty/console/active":          "hvc0\n",
		"/class/net/lo/subsystem/lo/address": "00:00:00:00:00:00\n",
	} {
		if s := read(t, c, path); s != want {
			t.Errorf("%s is %q, want %q", path, s, want)
		}
	}
}
