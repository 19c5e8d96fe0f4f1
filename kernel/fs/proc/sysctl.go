package proc

import (
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/random"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// The settings in /proc/sys that are more than a number in the table.

func overcommit() int64 { return int64(mm.Overcommit.Load()) }

func setOvercommit(v int64) error {
	mm.Overcommit.Store(int32(v))
	return nil
}

func overcommitKbytes() int64 { return mm.OvercommitKbytes.Load() }

// Of the limit in kilobytes and as a ratio the one that is set last holds, and
// the other reads 0.
func setOvercommitKbytes(v int64) error {
	mm.OvercommitKbytes.Store(v)
	return nil
}

func overcommitRatio() int64 {
	if mm.OvercommitKbytes.Load() != 0 {
		return 0
	}
	if v := mm.OvercommitRatio.Load(); v != 0 {
		return int64(v)
	}
	return 50
}

func setOvercommitRatio(v int64) error {
	mm.OvercommitRatio.Store(int32(v))
	mm.OvercommitKbytes.Store(0)
	return nil
}

func showOsrelease(t *text, c vfs.Caller, _ none) error {
	t.S(task.Release)
	t.C('\n')
	return nil
}

func showVersion(t *text, c vfs.Caller, _ none) error {
	t.S(task.Version)
	t.C('\n')
	return nil
}

func showHostname(t *text, c vfs.Caller, _ none) error {
	t.S(task.Hostname())
	t.C('\n')
	return nil
}

// storeHostname names the machine: the first line, cut to what uname(2) holds.
func storeHostname(c vfs.Caller, _ none, name string) error {
	task.SetHostname(firstLine(name, 64))
	return nil
}

func showDomainname(t *text, c vfs.Caller, _ none) error {
	t.S(task.Domainname())
	t.C('\n')
	return nil
}

func storeDomainname(c vfs.Caller, _ none, name string) error {
	task.SetDomainname(firstLine(name, 64))
	return nil
}

// firstLine is the part of a string setting that is kept.
func firstLine(s string, limit int) string {
	if i := strings.IndexAny(s, "\n\x00"); i >= 0 {
		s = s[:i]
	}
	return s[:min(len(s), limit)]
}

func showCorePattern(t *text, c vfs.Caller, _ none) error {
	pattern := "core"
	if p := task.CorePattern.Load(); p != nil {
		pattern = *p
	}
	t.S(pattern)
	t.C('\n')
	return nil
}

func storeCorePattern(c vfs.Caller, _ none, value string) error {
	pattern := firstLine(value, 127)
	task.CorePattern.Store(&pattern)
	return nil
}

func showCoreUsesPID(t *text, c vfs.Caller, _ none) error {
	if task.CoreUsesPID.Load() {
		t.S("1\n")
	} else {
		t.S("0\n")
	}
	return nil
}

func storeCoreUsesPID(c vfs.Caller, _ none, value string) error {
	v, err := pseudo.ParseInt(value)
	if err == nil {
		task.CoreUsesPID.Store(v != 0)
	}
	return err
}

func showLastPID(t *text, c vfs.Caller, _ none) error {
	t.I(task.LastPID())
	t.C('\n')
	return nil
}

// showFileNr renders the number of open files, as far as descriptors tell.
func showFileNr(t *text, c vfs.Caller, _ none) error {
	n := 0
	OpenFiles(func(*vfs.File) { n++ })
	t.I(n)
	t.S("\t0\t9223372036854775807\n")
	return nil
}

// boot is the identity of this boot, made when first asked for.
var boot struct {
	once sync.Once
	id   [16]byte
}

func showBootID(t *text, c vfs.Caller, _ none) error {
	boot.once.Do(func() { boot.id = newUUID() })
	appendUUID(t, boot.id)
	return nil
}

func showUuid(t *text, c vfs.Caller, _ none) error {
	appendUUID(t, newUUID())
	return nil
}

// newUUID returns a random UUID, version 4 of RFC 9562.
func newUUID() (id [16]byte) {
	random.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func appendUUID(t *text, id [16]byte) {
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			t.C('-')
		}
		t.X(uint64(b), 2)
	}
	t.C('\n')
}

// storeIgnored accepts a number that nothing looks at.
func storeIgnored(c vfs.Caller, _ none, value string) error {
	_, err := pseudo.ParseInt(value)
	return err
}

// storeText accepts a word that nothing looks at.
func storeText(vfs.Caller, none, string) error { return nil }

func storeDropCaches(c vfs.Caller, _ none, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil || v < 1 || v > 4 {
		return unix.EINVAL
	}
	return nil
}

func storeCompactMemory(c vfs.Caller, _ none, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil || v != 1 {
		return unix.EINVAL
	}
	return nil
}

func storeStatRefresh(c vfs.Caller, _ none, value string) error { return nil }
