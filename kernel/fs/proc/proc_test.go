package proc_test

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/fs/proc"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// subsequence reports the first of ours that the host does not have after
// those before it; names in but may be missing there.
func subsequence(ours, theirs []string, but ...string) string {
	for _, k := range ours {
		if slices.Contains(but, k) {
			continue
		}
		i := slices.Index(theirs, k)
		if i < 0 {
			return k
		}
		theirs = theirs[i+1:]
	}
	return ""
}

func TestKeysAreThoseOfLinuxInOrder(t *testing.T) {
	for _, c := range []struct {
		path string
		but  []string // of other releases or configurations
	}{
		{"/proc/self/status", nil},
		{"/proc/meminfo", []string{"Zswap", "Zswapped", "HardwareCorrupted"}},
		{"/proc/self/smaps_rollup", nil},
		{"/proc/self/limits", nil},
		{"/proc/self/io", nil},
		{"/proc/vmstat", []string{"nr_bounce", "nr_writeback_temp", "nr_zspages", "pgdemote_direct", "pgdemote_kswapd", "pgpromote_success", "pgpromote_candidate", "numa_pte_updates", "nr_swapcached"}},
		{"/proc/self/net/dev", nil},
		{"/proc/self/net/sockstat", nil},
		{"/proc/self/sched", nil},
	} {
		ours, theirs := keys(mustRead(t, c.path)), keys(host(t, c.path))
		switch c.path {
		case "/proc/self/smaps_rollup", "/proc/self/sched": // the first line is a heading
			ours, theirs = ours[1:], theirs[1:]
		}
		if c.path == "/proc/self/limits" && !slices.Equal(ours, theirs) {
			t.Errorf("%s: %q, Linux has %q", c.path, ours, theirs)
		}
		if c.path == "/proc/vmstat" { // the order changed between releases
			slices.Sort(ours)
			slices.Sort(theirs)
		}
		if k := subsequence(ours, theirs, c.but...); k != "" {
			t.Errorf("%s: %q is not there in Linux", c.path, k)
		}
	}
}

func TestLimitsLookLikeLinux(t *testing.T) {
	ours, theirs := strings.Split(mustRead(t, "/proc/self/limits"), "\n"), strings.Split(host(t, "/proc/self/limits"), "\n")
	if len(ours) != len(theirs) {
		t.Fatalf("%d lines, Linux has %d", len(ours), len(theirs))
	}
	for i := range ours {
		if len(ours[i]) != len(theirs[i]) || ours[i][:min(26, len(ours[i]))] != theirs[i][:min(26, len(theirs[i]))] {
			t.Errorf("%q, Linux has %q", ours[i], theirs[i])
		}
	}
}

func TestStatHas52Fields(t *testing.T) {
	for _, path := range []string{"/proc/self/stat", "/proc/thread-self/stat"} {
		s := mustRead(t, path)
		if len(strings.Fields(host(t, path))) != 52 {
			t.Fatal("Linux has another number of fields")
		}
		name := s[strings.IndexByte(s, '(')+1 : strings.LastIndexByte(s, ')')]
		if name != "prog name" {
			t.Errorf("name %q", name)
		}
		f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
		if len(f) != 50 {
			t.Fatalf("%s: %d fields after the name: %q", path, len(f), s)
		}
		for i, v := range f[1:] {
			if _, err := strconv.ParseInt(v, 10, 64); err != nil && v != "18446744073709551615" {
				t.Errorf("field %d is %q", i+4, v)
			}
		}
		if !strings.HasSuffix(s, "\n") {
			t.Error("no newline")
		}
	}
}

func TestStatmMatchesStat(t *testing.T) {
	m := strings.Fields(mustRead(t, "/proc/self/statm"))
	s := strings.Fields(mustRead(t, "/proc/self/stat"))
	if len(m) != 7 {
		t.Fatalf("statm has %d fields", len(m))
	}
	pages, _ := strconv.Atoi(m[0])
	if size, _ := strconv.Atoi(s[22+1]); size != pages*mm.PageSize { // the name has a blank
		t.Errorf("vsize %d, statm says %d pages", size, pages)
	}
}

var mapLine = regexp.MustCompile(`^([0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]{2,}:[0-9a-f]{2,} \d+) +(\S.*)?$`)

func TestMapsAreFormattedLikeLinux(t *testing.T) {
	ours := mustRead(t, "/proc/self/maps")
	for _, text := range []string{ours, host(t, "/proc/self/maps")} {
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			m := mapLine.FindStringSubmatchIndex(line)
			if m == nil {
				t.Fatalf("malformed: %q", line)
			}
			if m[4] >= 0 && m[4] != max(proc.NameColumn, m[3]+1) {
				t.Errorf("the name begins in column %d: %q", m[4], line)
			}
			if m[4] < 0 && len(line) != m[3]+1 {
				t.Errorf("%d blanks after an anonymous mapping: %q", len(line)-m[3], line)
			}
		}
	}
	for _, name := range []string{"/bin/prog name\n", "[stack]\n", "[vdso]\n", "[vvar]\n", "[vsyscall]\n"} {
		if !strings.Contains(ours, name) {
			t.Errorf("no %q in\n%s", name, ours)
		}
	}
}

func TestSmapsHasOneBlockForEachMapping(t *testing.T) {
	maps, smaps := mustRead(t, "/proc/self/maps"), mustRead(t, "/proc/self/smaps")
	var heads []string
	var block []string
	for line := range strings.Lines(smaps) {
		if mapLine.MatchString(strings.TrimSuffix(line, "\n")) {
			heads = append(heads, line)
		} else if len(heads) == 1 {
			block = append(block, line)
		}
	}
	if strings.Join(heads, "") != maps {
		t.Errorf("the headings are not maps:\n%s", strings.Join(heads, ""))
	}
	theirs := host(t, "/proc/self/smaps")
	first, _, _ := strings.Cut(theirs, "VmFlags")
	if k := subsequence(keys(strings.Join(block, "")), append(keys(first), "VmFlags")); k != "" {
		t.Errorf("%q is not there in Linux", k)
	}
	figure := regexp.MustCompile(`^[A-Za-z_]+: +\d+ kB\n$`)
	for _, line := range block {
		if strings.HasPrefix(line, "VmFlags") || strings.HasPrefix(line, "THP") {
			continue
		}
		if !figure.MatchString(line) || len(line) != 28 {
			t.Errorf("%q", line)
		}
	}
}

func TestMeminfoAddsUp(t *testing.T) {
	s := mustRead(t, "/proc/meminfo")
	v := map[string]int{}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		v[strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		if len(line) != 28 && !strings.HasPrefix(line, "VmallocTotal") && !strings.HasPrefix(line, "HugePages") {
			t.Errorf("%q is %d long", line, len(line))
		}
	}
	if sum := v["MemFree"] + v["Cached"] + v["AnonPages"] + v["PageTables"] + v["Slab"]; sum != v["MemTotal"] {
		t.Errorf("the parts are %d kB, MemTotal is %d kB", sum, v["MemTotal"])
	}
	if v["MemAvailable"] > v["MemTotal"] || v["MemAvailable"] < v["MemFree"] {
		t.Errorf("MemAvailable %d", v["MemAvailable"])
	}
}

func TestSystemStatIsWhatProgramsParse(t *testing.T) {
	s := mustRead(t, "/proc/stat")
	cpus := 0
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if strings.HasPrefix(f[0], "cpu") {
			cpus++
			if len(f) != 11 {
				t.Errorf("%d fields: %q", len(f), line)
			}
		}
	}
	if cpus != cpu.CPUs()+1 {
		t.Errorf("%d lines for CPUs", cpus)
	}
	want := []string{"intr", "ctxt", "btime", "processes", "procs_running", "procs_blocked", "softirq"}
	if k := keys(s)[cpus:]; !slices.Equal(k, want) {
		t.Errorf("%q, want %q", k, want)
	}
	if !regexp.MustCompile(`^\d+\.\d\d \d+\.\d\d\n$`).MatchString(mustRead(t, "/proc/uptime")) {
		t.Error("uptime")
	}
	if s := mustRead(t, "/proc/loadavg"); !regexp.MustCompile(`^(\d+\.\d\d ){3}\d+/\d+ \d+\n$`).MatchString(s) {
		t.Errorf("loadavg %q", s)
	}
}

func TestCPUInfoIsThatOfTheProcessor(t *testing.T) {
	field := func(s, key string) string {
		for line := range strings.Lines(s) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	ours, theirs := mustRead(t, "/proc/cpuinfo"), host(t, "/proc/cpuinfo")
	for _, key := range []string{"vendor_id", "cpu family", "model", "model name", "stepping", "cpuid level", "clflush size", "address sizes"} {
		if a, b := field(ours, key), field(theirs, key); a != b {
			t.Errorf("%s is %q, Linux says %q", key, a, b)
		}
	}
	if k := subsequence(keys(ours), keys(theirs), "microcode"); k != "" {
		t.Errorf("%q is not there in Linux", k)
	}
	// What Linux derives, or switches off, may differ, but little.
	a, b := strings.Fields(field(ours, "flags")), strings.Fields(field(theirs, "flags"))
	missing := 0
	for _, f := range a {
		if !slices.Contains(b, f) {
			t.Logf("Linux does not say %s", f)
			missing++
		}
	}
	if missing > 8 {
		t.Errorf("%d flags that Linux does not say", missing)
	}
	common := slices.DeleteFunc(slices.Clone(a), func(f string) bool { return !slices.Contains(b, f) })
	if k := subsequence(common, b); k != "" {
		t.Errorf("%s is out of order", k)
	}
}

func TestMountTables(t *testing.T) {
	want := "tmpfs / tmpfs rw,relatime"
	s := mustRead(t, "/proc/mounts")
	if !strings.HasPrefix(s, want) {
		t.Errorf("mounts begin %q", s)
	}
	if !strings.Contains(s, `tmp\040fs /mnt\040a tmpfs rw,nosuid,relatime`) {
		t.Errorf("blanks are not escaped: %s", s)
	}
	line := regexp.MustCompile(`^\d+ \d+ \d+:\d+ / /\S* r[wo]\S* - \S+ \S+ r[wo]\S*$`)
	for l := range strings.Lines(mustRead(t, "/proc/self/mountinfo")) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("%q", l)
		}
	}
}

func TestArgumentsAndEnvironment(t *testing.T) {
	if got, want := mustRead(t, "/proc/self/cmdline"), strings.Join(argv, "\x00")+"\x00"; got != want {
		t.Errorf("cmdline %q, want %q", got, want)
	}
	if got, want := mustRead(t, "/proc/self/environ"), strings.Join(envp, "\x00")+"\x00"; got != want {
		t.Errorf("environ %q, want %q", got, want)
	}
	if n := len(mustRead(t, "/proc/self/auxv")); n == 0 || n%16 != 0 {
		t.Errorf("auxv has %d bytes", n)
	}
}

func TestLinks(t *testing.T) {
	run(t, func(th *task.Thread) {
		for path, want := range map[string]string{
			"/proc/self": "1", "/proc/thread-self": "1/task/1", "/proc/mounts": "self/mounts", "/proc/net": "self/net",
			"/proc/self/exe": "/bin/prog name", "/proc/self/cwd": "/", "/proc/1/root": "/",
			"/proc/self/ns/uts": "uts:[4026531838]",
		} {
			p, err := vfs.Lookup(th, nil, path, 0)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if s, err := vfs.Readlink(th, p); s != want || err != nil {
				t.Errorf("%s leads to %q (%v), want %q", path, s, err, want)
			}
		}
		p, err := vfs.Lookup(th, nil, "/proc/self/exe", vfs.Follow)
		q, err2 := vfs.Lookup(th, nil, "/bin/prog name", vfs.Follow)
		if err != nil || err2 != nil || p != q {
			t.Errorf("exe leads elsewhere: %v %v", err, err2)
		}
		var a vfs.Attr
		p, err = vfs.Lookup(th, nil, "/proc/self/ns/mnt", vfs.Follow)
		if err == nil {
			err = vfs.Stat(th, p, &a)
		}
		if err != nil || p.Inode().Ino != 4026531841 || a.Mode != unix.S_IFREG|0o444 {
			t.Errorf("ns/mnt: %v, inode %d, mode %o", err, p.Inode().Ino, a.Mode)
		}
	})
}

func TestDescriptors(t *testing.T) {
	run(t, func(th *task.Thread) {
		f, err := vfs.Open(th, "/bin/file", unix.O_CREAT|unix.O_RDWR, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		fd, err := th.Files().Install(f, 7, true, 1024)
		if err != nil {
			t.Error(err)
			return
		}
		path := "/proc/self/fd/" + strconv.Itoa(fd)
		p, err := vfs.Lookup(th, nil, path, 0)
		if err != nil {
			t.Error(err)
			return
		}
		if p.Inode().Mode() != unix.S_IFLNK|0o700 {
			t.Errorf("mode %o", p.Inode().Mode())
		}
		if q, err := vfs.Lookup(th, nil, path, vfs.Follow); err != nil || q != f.Path {
			t.Errorf("following leads elsewhere: %v", err)
		}
		if s, err := read(th, "/proc/self/fdinfo/"+strconv.Itoa(fd), 100); err != nil || !strings.HasPrefix(s, "pos:\t0\nflags:\t02") {
			t.Errorf("fdinfo %q, %v", s, err)
		}
		if err := vfs.Unlink(th, nil, "/bin/file"); err != nil {
			t.Error(err)
		}
		if s, _ := vfs.Readlink(th, p); s != "/bin/file (deleted)" {
			t.Errorf("a deleted file reads %q", s)
		}
		if err := th.Files().Close(th, fd); err != nil {
			t.Error(err)
		}
		if _, err := vfs.Lookup(th, nil, path, 0); err != unix.ENOENT {
			t.Errorf("a closed descriptor: %v", err)
		}
	})
}

func TestEverythingCanBeReadAndHasItsNumber(t *testing.T) {
	run(t, func(th *task.Thread) {
		files := 0
		seen := map[uint64]string{}
		var walk func(path string, depth int)
		walk = func(path string, depth int) {
			f, err := vfs.Open(th, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Errorf("open %s: %v", path, err)
				return
			}
			var list []vfs.Dirent
			for { // a few entries a time, to exercise positions
				n := 0
				err = f.ReadDir(th, func(d vfs.Dirent) bool {
					if n == 3 {
						return false
					}
					n++
					list = append(list, d)
					return true
				})
				if err != nil || n == 0 {
					break
				}
			}
			f.Put()
			if err != nil {
				t.Errorf("list %s: %v", path, err)
			}
			names := map[string]bool{}
			for _, d := range list {
				if names[d.Name] {
					t.Errorf("%s is in %s twice", d.Name, path)
				}
				names[d.Name] = true
				if d.Name == "." || d.Name == ".." {
					continue
				}
				child := path + "/" + d.Name
				p, err := vfs.Lookup(th, nil, child, 0)
				if err != nil {
					t.Errorf("look up %s: %v", child, err)
					continue
				}
				i := p.Inode()
				if i.Ino != d.Ino || i.DType() != d.Type {
					t.Errorf("%s: listed as %d of type %d, is %d of type %d", child, d.Ino, d.Type, i.Ino, i.DType())
				}
				if other, ok := seen[i.Ino]; ok && strings.HasPrefix(other, path[:5]) && other != child {
					t.Errorf("%s has the number of %s", child, other)
				}
				seen[i.Ino] = child
				switch d.Type {
				case unix.DT_DIR:
					if depth < 9 {
						walk(child, depth+1)
					}
				case unix.DT_LNK:
					if s, err := vfs.Readlink(th, p); err != nil || s == "" {
						t.Errorf("readlink %s: %q, %v", child, s, err)
					}
				default:
					if i.Mode()&0o444 == 0 || d.Name == "mem" {
						continue
					}
					_, err := read(th, child, 1024)
					if err != nil && !(err == unix.EINVAL && (strings.Contains(child, "/attr/") || strings.Contains(child, "/lo/"))) {
						t.Errorf("read %s: %v", child, err)
					}
					files++
				}
			}
		}
		walk("/proc", 0)
		if files < 400 {
			t.Errorf("only %d files", files)
		}
		clear(seen)
		walk("/sys", 0)
	})
}

// TestNamesAreThoseOfLinux compares names, types and permissions with the
// machine that runs the test, which has more.
func TestNamesAreThoseOfLinux(t *testing.T) {
	ours := map[string]uint32{}
	run(t, func(th *task.Thread) {
		for _, dir := range []string{"/proc", "/proc/self", "/proc/thread-self", "/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/fs", "/proc/self/net", "/sys", "/sys/kernel/mm/transparent_hugepage", "/sys/devices/system/cpu", "/sys/devices/system/cpu/cpu0/topology"} {
			f, err := vfs.Open(th, dir, unix.O_RDONLY, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			_ = f.ReadDir(th, func(d vfs.Dirent) bool {
				if p, err := vfs.Lookup(th, nil, dir+"/"+d.Name, 0); err == nil && d.Name[0] != '.' {
					ours[dir+"/"+d.Name] = p.Inode().Mode()
				}
				return true
			})
			f.Put()
		}
	})
	var stat unix.Stat_t
	if err := unix.Lstat("/proc/self/stat", &stat); err != nil {
		t.Skip(err)
	}
	for _, path := range slices.Sorted(maps.Keys(ours)) {
		err := unix.Lstat(path, &stat)
		switch {
		case err == unix.ENOENT: // another release or configuration
		case err != nil:
			t.Errorf("%s: %v", path, err)
		case fs.FileMode(stat.Mode) != fs.FileMode(ours[path]):
			t.Errorf("%s has mode %o, on Linux %o", path, ours[path], stat.Mode)
		}
	}
}

func TestReadsContinueInOneText(t *testing.T) {
	run(t, func(th *task.Thread) {
		whole, err := read(th, "/proc/self/limits", 1<<16)
		if err != nil {
			t.Error(err)
		}
		for _, n := range []int{1, 7, 100} {
			if s, err := read(th, "/proc/self/limits", n); s != whole || err != nil {
				t.Errorf("in pieces of %d it is different: %v", n, err)
			}
		}
		f, err := vfs.Open(th, "/proc/sys/kernel/random/uuid", unix.O_RDONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Put()
		at := func(off int64, n int) string {
			p := make([]byte, n)
			b := mm.KernelBuffer(p)
			k, err := f.Pread(th, &b, off)
			if err != nil {
				t.Error(err)
			}
			return string(p[:k])
		}
		first := at(0, 100)
		if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$`).MatchString(first) {
			t.Errorf("uuid %q", first)
		}
		if s := at(9, 100); s != first[9:] {
			t.Errorf("a read at 9 gives %q of %q", s, first)
		}
		if at(0, 100) == first {
			t.Error("a read at the beginning does not render anew")
		}
		if at(1000, 10) != "" {
			t.Error("no end of file")
		}
		if n, err := f.Lseek(th, 5, unix.SEEK_SET); n != 5 || err != nil {
			t.Errorf("lseek: %d, %v", n, err)
		}
	})
}

func TestSettings(t *testing.T) {
	const (
		keep  = "keep"
		inval = unix.EINVAL
	)
	for _, c := range []struct {
		path, write string
		err         error
		want        string
	}{
		{"/proc/sys/vm/swappiness", "10\n", nil, "10\n"},
		{"/proc/sys/vm/swappiness", " 0x10 ", nil, "16\n"},
		{"/proc/sys/vm/swappiness", "201", inval, "16\n"},
		{"/proc/sys/vm/swappiness", "-1", inval, "16\n"},
		{"/proc/sys/vm/swappiness", "x", inval, "16\n"},
		{"/proc/sys/vm/swappiness", "5x", inval, "16\n"},
		{"/proc/sys/vm/swappiness", "\n", inval, "16\n"},
		{"/proc/sys/vm/overcommit_memory", "1", nil, "1\n"},
		{"/proc/sys/vm/overcommit_memory", "3", inval, "1\n"},
		{"/proc/sys/vm/overcommit_memory", "0", nil, "0\n"},
		{"/proc/sys/kernel/sem", "1 2\n", nil, "1\t2\t500\t32000\n"},
		{"/proc/sys/net/ipv4/ip_local_port_range", "1024 65535", nil, "1024\t65535\n"},
		{"/proc/sys/kernel/hostname", "box\nrest", nil, "box\n"},
		{"/proc/sys/kernel/core_pattern", "|/bin/false %p\n", nil, "|/bin/false %p\n"},
		{"/proc/sys/fs/file-max", "9223372036854775807", nil, "9223372036854775807\n"},
		{"/proc/sys/fs/file-max", "9223372036854775808", inval, "9223372036854775807\n"},
		{"/proc/sys/vm/drop_caches", "3", nil, keep},
		{"/proc/sys/vm/drop_caches", "9", inval, keep},
		{"/proc/sys/kernel/osrelease", "1", unix.EIO, task.Release + "\n"},
		{"/proc/self/comm", "a name that is too long\n", nil, "a name that is \n"},
		{"/proc/self/comm", "prog name", nil, "prog name\n"},
		{"/proc/self/oom_score_adj", "500\n", nil, "500\n"},
		{"/proc/self/oom_adj", "15", nil, "15\n"},
		{"/proc/self/oom_score_adj", "1001", inval, "1000\n"},
		{"/proc/self/oom_score_adj", "0", nil, "0\n"},
		{"/proc/self/clear_refs", "6", inval, keep},
		{"/proc/self/setgroups", "maybe", inval, "allow\n"},
		{"/sys/kernel/mm/transparent_hugepage/enabled", "always", nil, keep},
		{"/sys/kernel/mm/transparent_hugepage/enabled", "sometimes", inval, keep},
	} {
		run(t, func(th *task.Thread) {
			if err := write(th, c.path, c.write); err != c.err {
				t.Errorf("write %q to %s: %v, want %v", c.write, c.path, err, c.err)
			}
			if c.want == keep {
				return
			}
			if s, err := read(th, c.path, 1000); s != c.want || err != nil {
				t.Errorf("%s after %q is %q (%v), want %q", c.path, c.write, s, err, c.want)
			}
		})
	}
}

func TestModesCannotBeChanged(t *testing.T) {
	run(t, func(th *task.Thread) {
		for _, path := range []string{"/proc/self/maps", "/proc/sys/vm/swappiness"} {
			p, err := vfs.Lookup(th, nil, path, vfs.Follow)
			if err == nil {
				err = p.Inode().Ops.Setattr(th, p.Inode(), &vfs.SetAttr{Valid: vfs.SetMode, Mode: 0o777})
			}
			if err != unix.EPERM {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, c := range []struct {
			path       string
			mkdir, new error
		}{{"/proc/x", unix.ENOENT, unix.ENOENT}, {"/sys/x", unix.EPERM, unix.EACCES}} {
			if err := vfs.Mkdir(th, nil, c.path, 0o755); err != c.mkdir {
				t.Errorf("mkdir %s: %v, want %v", c.path, err, c.mkdir)
			}
			if _, err := vfs.Open(th, c.path, unix.O_CREAT|unix.O_WRONLY, 0o644); err != c.new {
				t.Errorf("create %s: %v, want %v", c.path, err, c.new)
			}
		}
		if err := vfs.Unlink(th, nil, "/proc/version"); err != unix.EPERM {
			t.Errorf("unlink: %v", err)
		}
	})
}

func TestProcessesComeAndGo(t *testing.T) {
	run(t, func(th *task.Thread) {
		pid, err := th.Clone(&task.CloneArgs{ExitSignal: int(unix.SIGCHLD)})
		if err != nil {
			t.Error(err)
			return
		}
		dir := "/proc/" + strconv.Itoa(pid)
		if s, err := read(th, dir+"/status", 4096); err != nil || !strings.Contains(s, "\nPPid:\t1\n") {
			t.Errorf("status %q, %v", s, err)
		}
		if s, err := read(th, "/proc/1/task/1/children", 4096); err != nil || s != strconv.Itoa(pid)+" " {
			t.Errorf("children %q, %v", s, err)
		}
		f, err := vfs.Open(th, dir+"/stat", unix.O_RDONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Put()
		d, err := vfs.Open(th, dir, unix.O_RDONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer d.Put()
		if err := th.Kill(pid, int(unix.SIGKILL)); err != nil {
			t.Error(err)
		}
		if _, err := th.Wait(task.WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WEXITED}); err != nil {
			t.Errorf("wait: %v", err)
		}
		if _, err := readAll(th, f, 100); err != unix.ESRCH {
			t.Errorf("reading on after the end: %v, want ESRCH", err)
		}
		if _, err := vfs.Lookup(th, nil, dir, 0); err != unix.ENOENT {
			t.Errorf("looking it up after the end: %v", err)
		}
		if _, err := vfs.OpenAt(th, &d.Path, "maps", unix.O_RDONLY, 0, 0); err != unix.ENOENT {
			t.Errorf("opening below it after the end: %v", err)
		}
	})
}

func TestStrangersMayNotLook(t *testing.T) {
	run(t, func(th *task.Thread) {
		pid, err := th.Clone(&task.CloneArgs{ExitSignal: int(unix.SIGCHLD)})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() {
			_ = th.Kill(pid, int(unix.SIGKILL))
			_, _ = th.Wait(task.WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WEXITED})
		}()
		c := stranger{th}
		dir := "/proc/" + strconv.Itoa(pid)
		for name, want := range map[string]error{
			"maps": unix.EACCES, "environ": unix.EACCES, "mem": unix.EACCES, "pagemap": unix.EACCES, "auxv": unix.EACCES,
			"stat": nil, "status": nil, "cmdline": nil, "limits": nil, "mounts": nil,
		} {
			if _, err := vfs.Open(c, dir+"/"+name, unix.O_RDONLY, 0); err != want {
				t.Errorf("open %s: %v, want %v", name, err, want)
			}
		}
		for _, name := range []string{"exe", "cwd", "root"} {
			if _, err := vfs.Lookup(c, nil, dir+"/"+name, vfs.Follow); err != unix.EACCES {
				t.Errorf("follow %s: %v", name, err)
			}
		}
		if _, err := vfs.Open(c, dir+"/fd", unix.O_RDONLY, 0); err != unix.EACCES {
			t.Errorf("open fd: %v", err)
		}
		s, err := read(c, dir+"/stat", 1000)
		if f := strings.Fields(s); err != nil || len(f) < 30 || f[26] != "1" || f[27] != "1" || f[28] != "0" {
			t.Errorf("addresses are shown: %q, %v", s, err)
		}
		if err := write(c, "/proc/sys/vm/swappiness", "1"); err != unix.EACCES {
			t.Errorf("write a setting: %v", err)
		}
	})
}

func TestLocksAreListed(t *testing.T) {
	run(t, func(th *task.Thread) {
		f, err := vfs.Open(th, "/bin/locked", unix.O_CREAT|unix.O_RDWR, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		fd, err := th.Files().Install(f, 0, false, 1024)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = th.Files().Close(th, fd) }()
		if err := f.Flock(th, unix.LOCK_EX); err != nil {
			t.Error(err)
		}
		s, err := read(th, "/proc/locks", 100)
		if err != nil || !regexp.MustCompile(`^1: FLOCK  ADVISORY  WRITE -?\d+ [0-9a-f]{2}:[0-9a-f]{2}:\d+ 0 EOF\n$`).MatchString(s) {
			t.Errorf("%q, %v", s, err)
		}
	})
}
