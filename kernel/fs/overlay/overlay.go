// Package overlay makes a read-only file system writable: everything shows
// through from the lower tree until it is changed, and changes stay in
// memory. Reading, mapping and executing what was not changed goes straight
// to the lower file system's page cache.
//
// The work is done by package tmpfs, whose nodes can stand on lower inodes:
// there is no second inode, directory or lock on the way. Lower directories
// are renamed like any others, hard links of the lower tree stay links, and
// inode numbers are those of the lower tree.
package overlay

import (
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/vfs"
)

// New returns a writable view of lower. options are those of tmpfs (size=).
func New(lower *vfs.Superblock, options string) (*vfs.Superblock, error) {
	return tmpfs.NewOver(lower.Root, options)
}

// Register makes overlay known to mount(2). Of the options lowerdir, upperdir
// and workdir only a single lowerdir is used: changes live in memory whatever
// upperdir says.
func Register() { vfs.RegisterFS(&vfs.FSType{Name: "overlay", NoDevice: true, Mount: mount}) }

func mount(c vfs.Caller, source string, flags uint32, data string) (*vfs.Superblock, error) {
	var lower string
	for data != "" {
		var opt string
		opt, data, _ = strings.Cut(data, ",")
		key, val, _ := strings.Cut(opt, "=")
		switch key {
		case "lowerdir":
			lower = val
		case "", "upperdir", "workdir", "index", "redirect_dir", "metacopy", "xino", "userxattr", "volatile":
		default:
			return nil, unix.EINVAL
		}
	}
	if lower == "" {
		return nil, unix.EINVAL
	}
	if strings.IndexByte(lower, ':') >= 0 {
		return nil, unix.EOPNOTSUPP
	}
	p, err := vfs.Lookup(c, nil, lower, vfs.Follow|vfs.Directory)
	if err != nil {
		return nil, err
	}
	sb, err := tmpfs.NewOver(p.Inode(), "")
	if err != nil {
		return nil, err
	}
	sb.Source = source
	return sb, nil
}
