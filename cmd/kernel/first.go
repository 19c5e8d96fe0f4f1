package main

import (
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/control"
	"husk/kernel/cred"
	"husk/kernel/syscalls"
	"husk/kernel/task"
	"husk/kernel/trace"
	"husk/kernel/vfs"
	"husk/spec"
)

// startFirst starts the program as process 1. When the program cannot be
// executed the machine ends as a shell would: 127 for what is not there, 126
// for what is no program.
func (m *machine) startFirst() error {
	p := &m.spec.Process
	if len(p.Args) == 0 {
		return fail("start the program", "the run specification has no arguments")
	}
	user, err := m.user()
	if err != nil {
		return err
	}
	if err := m.openStdio(user); err != nil {
		return wrap("open the standard streams", err)
	}
	if err := m.changeDirectory(p.Cwd); err != nil {
		return wrap("change to the working directory "+p.Cwd, err)
	}
	if p.User.Umask != nil {
		m.init.FS().SetUmask(*p.User.Umask & 0o777)
	}
	for _, l := range p.Rlimits {
		if n := task.LimitByName(l.Type); n >= 0 {
			m.init.Process.SetInitialLimit(n, task.Rlimit{Cur: l.Soft, Max: l.Hard})
		}
	}
	user.NoNewPrivs = p.NoNewPrivileges
	m.init.SetInitialCred(user)

	if err := m.execute(p); err != nil {
		return err
	}
	return m.control.Ready()
}

// execute starts the file that the specification names, or what execvp(3)
// would find for args[0].
func (m *machine) execute(p *spec.Process) error {
	name := p.Args[0]
	if exec := m.spec.Annotations[spec.AnnotationExec]; exec != "" {
		name = exec
	}
	dirs := ""
	if !strings.Contains(name, "/") {
		dirs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		for _, e := range p.Env {
			if v, ok := strings.CutPrefix(e, "PATH="); ok {
				dirs = v
			}
		}
	}
	failure := notStarted{name, unix.ENOENT}
	for {
		dir, rest, more := strings.Cut(dirs, ":")
		path := name
		if dir != "" {
			path = dir + "/" + name
		}
		m.log("execute " + path)
		err := m.init.Start(path, p.Args, p.Env)
		switch err {
		case nil:
			return nil
		case unix.ENOENT, unix.ENOTDIR:
		case unix.EACCES:
			failure.err = err // unless a later directory has it
		default:
			return notStarted{path, err}
		}
		if !more {
			return failure
		}
		dirs = rest
	}
}

// changeDirectory makes dir if it is missing: an image need not have the
// directory in which the user happens to stand.
func (m *machine) changeDirectory(dir string) error {
	if dir == "" || dir == "/" {
		return nil
	}
	for i := 1; i <= len(dir); i++ {
		if i == len(dir) || dir[i] == '/' {
			if err := vfs.Mkdir(m.init, nil, dir[:i], 0o755); err != nil && err != unix.EEXIST {
				return err
			}
		}
	}
	p, err := vfs.Lookup(m.init, nil, dir, vfs.Follow|vfs.Directory)
	if err != nil {
		return err
	}
	return vfs.Chdir(m.init, p)
}

// openStdio puts the streams at descriptors 0, 1 and 2, or /dev/null where
// there is none.
func (m *machine) openStdio(user *cred.Cred) error {
	files := vfs.NewFDTable()
	m.init.SetFiles(files)
	in, out, errs, err := m.stdio()
	if err != nil {
		return err
	}
	for _, f := range []*vfs.File{in, out, errs} {
		if f == nil {
			if f, err = vfs.Open(m.init, "/dev/null", unix.O_RDWR, 0); err != nil {
				return err
			}
		} else if f.Inode != nil && f.Inode.Type() == unix.S_IFIFO {
			f.Inode.SetOwner(uint32(user.UID), uint32(user.GID)) // so that /dev/stdout can be opened
		}
		if _, err := files.Install(f, 0, false, 1024); err != nil {
			return err
		}
	}
	return nil
}

// trace turns the recording of names or system call tracing on when the
// specification asks for it.
func (m *machine) trace() error {
	if m.streams.Trace == nil {
		return nil
	}
	m.tracer = control.NewSleeper()
	if m.spec.Annotations[spec.AnnotationFiles] == "1" {
		vfs.Record(m.recordName)
		return nil
	}
	list, ok := m.spec.Annotations[spec.AnnotationStrace]
	if !ok {
		return nil
	}
	tr, err := trace.New(list, syscalls.Describe, m.writeTrace)
	if err != nil {
		return wrap("trace system calls", err)
	}
	syscalls.SetTracer(tr)
	task.SetTracer(tr)
	return nil
}

// user is the credentials that the specification asks for.
func (m *machine) user() (*cred.Cred, error) {
	u := m.spec.Process.User
	uid, gid := cred.UID(u.UID), cred.GID(u.GID)
	var groups []cred.GID
	for _, g := range u.AdditionalGids {
		groups = append(groups, cred.GID(g))
	}
	if u.Username != "" {
		return m.lookUser(u.Username)
	}
	return cred.User(uid, gid, groups), nil
}
