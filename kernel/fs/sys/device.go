package sys

import (
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/vfs"
)

// device is a character device, or a disk. They all live below
// /sys/devices/virtual, whatever they hang on in fact.
type device struct {
	class, name  string
	major, minor uint32
	mode         string // DEVMODE of the uevent; empty: none
	disk         *pseudo.Disk
}

// characters are the devices that /dev has.
var characters = [...]device{
	{class: "mem", name: "full", major: 1, minor: 7, mode: "0666"},
	{class: "mem", name: "null", major: 1, minor: 3, mode: "0666"},
	{class: "mem", name: "random", major: 1, minor: 8, mode: "0666"},
	{class: "mem", name: "urandom", major: 1, minor: 9, mode: "0666"},
	{class: "mem", name: "zero", major: 1, minor: 5, mode: "0666"},
	{class: "tty", name: "console", major: 5, minor: 1},
	{class: "tty", name: "ptmx", major: 5, minor: 2, mode: "0666"},
	{class: "tty", name: "tty", major: 5, minor: 0, mode: "0666"},
}

// devices returns those of a class; an empty class means all characters.
func devices(class string) []device {
	var list []device
	if class == "block" {
		disks := pseudo.Disks()
		for i := range disks {
			d := &disks[i]
			list = append(list, device{class: "block", name: d.Name, major: d.Major, minor: d.Minor, disk: d})
		}
		return list
	}
	for _, d := range characters {
		if class == "" || d.class == class {
			list = append(list, d)
		}
	}
	return list
}

func (d *device) number() string {
	return strconv.Itoa(int(d.major)) + ":" + strconv.Itoa(int(d.minor))
}

// find looks a device up, by name or by number, and makes an inode of entry e
// about it.
func find(dir *vfs.Inode, class, name string, byNumber bool, e *entry) (*vfs.Inode, error) {
	list := devices(class)
	for i := range list {
		d := &list[i]
		key := d.name
		if byNumber {
			key = d.number()
		}
		if key == name {
			return tree.Node(dir.FS, dynamic(dir.Ino, i), e, subject{Of: d}), nil
		}
	}
	return nil, unix.ENOENT
}

func emitDevices(dir *vfs.Inode, class string, byNumber bool, kind uint8, pos int64, emit func(vfs.Dirent) bool) error {
	list := devices(class)
	for i := int(pos); i < len(list); i++ {
		name := list[i].name
		if byNumber {
			name = list[i].number()
		}
		if !emit(vfs.Dirent{Name: name, Ino: dynamic(dir.Ino, i), Type: kind, Next: int64(i) + 1}) {
			break
		}
	}
	return nil
}

// Links to devices from /sys/block, and from /sys/class and /sys/dev.
var (
	nearLink = entry{Special: &pseudo.Special{Link: readNearLink}}
	farLink  = entry{Special: &pseudo.Special{Link: readFarLink}}
)

func readNearLink(c vfs.Caller, s subject) (string, error) {
	return "../devices/virtual/" + devOf(s).class + "/" + devOf(s).name, nil
}

func readFarLink(c vfs.Caller, s subject) (string, error) {
	return "../../devices/virtual/" + devOf(s).class + "/" + devOf(s).name, nil
}

func lookupBlock(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "block", name, false, &nearLink)
}

func listBlock(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "block", false, unix.DT_LNK, pos, emit)
}

func lookupClassBlock(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "block", name, false, &farLink)
}

func listClassBlock(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "block", false, unix.DT_LNK, pos, emit)
}

func lookupClassMem(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "mem", name, false, &farLink)
}

func listClassMem(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "mem", false, unix.DT_LNK, pos, emit)
}

func lookupClassTTY(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "tty", name, false, &farLink)
}

func listClassTTY(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "tty", false, unix.DT_LNK, pos, emit)
}

func lookupDevBlock(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "block", name, true, &farLink)
}

func listDevBlock(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "block", true, unix.DT_LNK, pos, emit)
}

func lookupDevChar(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "", name, true, &farLink)
}

func listDevChar(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "", true, unix.DT_LNK, pos, emit)
}

// The devices themselves.

func lookupMem(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "mem", name, false, &characterEntry)
}

func listMem(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "mem", false, unix.DT_DIR, pos, emit)
}

func lookupTTY(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	if name == "console" {
		return find(d, "tty", name, false, &consoleEntry)
	}
	return find(d, "tty", name, false, &characterEntry)
}

func listTTY(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "tty", false, unix.DT_DIR, pos, emit)
}

func lookupDisk(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return find(d, "block", name, false, &diskEntry)
}

func listDisks(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return emitDevices(d, "block", false, unix.DT_DIR, pos, emit)
}

var characterEntry = entry{Dir: &dir{Entries: []entry{
	{Name: "dev", Show: showNumber},
	{Name: "subsystem", Special: &pseudo.Special{Link: readSubsystem}},
	{Name: "uevent", Mode: 0o644, Show: showUevent, Store: storeIgnored},
}}}

var consoleEntry = entry{Dir: &dir{Entries: []entry{
	{Name: "active", Const: "hvc0\n"},
	{Name: "dev", Show: showNumber},
	{Name: "subsystem", Special: &pseudo.Special{Link: readSubsystem}},
	{Name: "uevent", Mode: 0o644, Show: showUevent, Store: storeIgnored},
}}}

var diskEntry = entry{Dir: &dir{Entries: []entry{
	{Name: "alignment_offset", Const: "0\n"},
	{Name: "capability", Const: "0\n"},
	{Name: "dev", Show: showNumber},
	{Name: "discard_alignment", Const: "0\n"},
	{Name: "ext_range", Const: "256\n"},
	{Name: "hidden", Const: "0\n"},
	{Name: "holders", Dir: &dir{}},
	{Name: "inflight", Const: "       0        0\n"},
	{Name: "queue", Dir: &dir{Entries: []entry{
		{Name: "discard_granularity", Const: "0\n"},
		{Name: "discard_max_bytes", Const: "0\n"},
		{Name: "hw_sector_size", Const: "512\n"},
		{Name: "logical_block_size", Const: "512\n"},
		{Name: "max_sectors_kb", Const: "1280\n"},
		{Name: "minimum_io_size", Const: "512\n"},
		{Name: "optimal_io_size", Const: "0\n"},
		{Name: "physical_block_size", Const: "512\n"},
		{Name: "read_ahead_kb", Const: "128\n"},
		{Name: "rotational", Const: "0\n"},
		{Name: "scheduler", Const: "[none]\n"},
		{Name: "zoned", Const: "none\n"},
	}}},
	{Name: "range", Const: "16\n"},
	{Name: "removable", Const: "0\n"},
	{Name: "ro", Show: showReadOnly},
	{Name: "size", Show: showSectors},
	{Name: "slaves", Dir: &dir{}},
	{Name: "stat", Const: "       0        0        0        0        0        0        0        0        0        0        0        0        0        0        0        0        0\n"},
	{Name: "subsystem", Special: &pseudo.Special{Link: readSubsystem}},
	{Name: "uevent", Mode: 0o644, Show: showUevent, Store: storeIgnored},
}}}

func readSubsystem(c vfs.Caller, s subject) (string, error) {
	return "../../../../class/" + devOf(s).class, nil
}

func showNumber(t *text, c vfs.Caller, s subject) error {
	t.S(devOf(s).number())
	t.C('\n')
	return nil
}

func showUevent(t *text, c vfs.Caller, s subject) error {
	d := devOf(s)
	t.S("MAJOR=")
	t.U(uint64(d.major))
	t.S("\nMINOR=")
	t.U(uint64(d.minor))
	t.S("\nDEVNAME=")
	t.S(d.name)
	t.C('\n')
	if d.disk != nil {
		t.S("DEVTYPE=disk\n")
	}
	if d.mode != "" {
		t.S("DEVMODE=")
		t.S(d.mode)
		t.C('\n')
	}
	return nil
}

func showReadOnly(t *text, c vfs.Caller, s subject) error {
	if devOf(s).disk.ReadOnly {
		return figure(t, 1)
	}
	return figure(t, 0)
}

func showSectors(t *text, c vfs.Caller, s subject) error {
	t.U(devOf(s).disk.Sectors)
	t.C('\n')
	return nil
}
