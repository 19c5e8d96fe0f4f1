package spec

// A member is one name of a JSON object and where its value lives: a pointer
// to a string, bool, int, uint16, uint32, uint64 or map of strings, an object,
// an array or an optional. With omit it is not written while it is empty.
type member struct {
	name  string
	value any
	omit  bool
}

// An object appends its members in the order in which they are written.
type object interface {
	members(m []member) []member
}

// An array gives pointers to its elements.
type array interface {
	size() int
	at(i int) any
	add() any
}

// list makes a slice an array.
type list[T any] []T

func (l *list[T]) size() int    { return len(*l) }
func (l *list[T]) at(i int) any { return &(*l)[i] }
func (l *list[T]) add() any {
	*l = append(*l, *new(T))
	return l.at(len(*l) - 1)
}

// An optional may be absent; get then gives nil.
type optional interface {
	get() any
	make() any
}

// maybe makes a pointer to a pointer an optional.
type maybe[T any] struct{ p **T }

func (m maybe[T]) get() any {
	if *m.p == nil {
		return nil
	}
	return *m.p
}

func (m maybe[T]) make() any {
	*m.p = new(T)
	return *m.p
}

func (s *Spec) members(m []member) []member {
	return append(
		m,
		member{"ociVersion", &s.OCIVersion, false},
		member{"process", &s.Process, false},
		member{"root", &s.Root, false},
		member{"hostname", &s.Hostname, true},
		member{"mounts", (*list[Mount])(&s.Mounts), true},
		member{"annotations", &s.Annotations, true},
		member{"network", maybe[Network]{&s.Network}, true},
	)
}

func (n *Network) members(m []member) []member {
	return append(
		m,
		member{"interfaces", (*list[Interface])(&n.Interfaces), true},
		member{"dns", (*list[string])(&n.DNS), true},
		member{"search", (*list[string])(&n.Search), true},
	)
}

func (i *Interface) members(m []member) []member {
	return append(
		m,
		member{"name", &i.Name, true},
		member{"addresses", (*list[string])(&i.Addresses), true},
		member{"gateways", (*list[string])(&i.Gateways), true},
		member{"routes", (*list[Route])(&i.Routes), true},
		member{"mtu", &i.MTU, true},
		member{"auto", &i.Auto, true},
	)
}

func (r *Route) members(m []member) []member {
	return append(
		m,
		member{"destination", &r.Destination, false},
		member{"gateway", &r.Gateway, true},
	)
}

func (p *Process) members(m []member) []member {
	return append(
		m,
		member{"terminal", &p.Terminal, true},
		member{"consoleSize", &p.ConsoleSize, true},
		member{"user", &p.User, false},
		member{"args", (*list[string])(&p.Args), false},
		member{"env", (*list[string])(&p.Env), true},
		member{"cwd", &p.Cwd, false},
		member{"rlimits", (*list[Rlimit])(&p.Rlimits), true},
		member{"noNewPrivileges", &p.NoNewPrivileges, true},
	)
}

func (c *ConsoleSize) members(m []member) []member {
	return append(
		m,
		member{"height", &c.Height, false},
		member{"width", &c.Width, false},
	)
}

func (u *User) members(m []member) []member {
	return append(
		m,
		member{"uid", &u.UID, false},
		member{"gid", &u.GID, false},
		member{"umask", maybe[uint32]{&u.Umask}, true},
		member{"additionalGids", (*list[uint32])(&u.AdditionalGids), true},
		member{"username", &u.Username, true},
	)
}

func (r *Rlimit) members(m []member) []member {
	return append(
		m,
		member{"type", &r.Type, false},
		member{"soft", &r.Soft, false},
		member{"hard", &r.Hard, false},
	)
}

func (r *Root) members(m []member) []member {
	return append(
		m,
		member{"path", &r.Path, false},
		member{"readonly", &r.Readonly, true},
	)
}

func (t *Mount) members(m []member) []member {
	return append(
		m,
		member{"destination", &t.Destination, false},
		member{"type", &t.Type, true},
		member{"source", &t.Source, true},
		member{"options", (*list[string])(&t.Options), true},
	)
}

func (t *Message) members(m []member) []member {
	return append(
		m,
		member{"type", &t.Type, false},
		member{"signal", &t.Signal, true},
		member{"winsize", maybe[ConsoleSize]{&t.Winsize}, true},
		member{"bytes", &t.Bytes, true},
		member{"exit", maybe[Exit]{&t.Exit}, true},
		member{"text", &t.Text, true},
	)
}

func (x *Exit) members(m []member) []member {
	return append(
		m,
		member{"code", &x.Code, false},
		member{"signal", &x.Signal, true},
		member{"error", &x.Error, true},
		member{"crash", maybe[Crash]{&x.Crash}, true},
		member{"stdout", &x.Stdout, false},
		member{"stderr", &x.Stderr, false},
		member{"trace", &x.Trace, true},
	)
}

func (c *Crash) members(m []member) []member {
	return append(
		m,
		member{"signal", &c.Signal, false},
		member{"code", &c.Code, false},
		member{"addr", &c.Addr, false},
		member{"pid", &c.PID, false},
		member{"tid", &c.TID, false},
		member{"command", &c.Command, false},
		member{"reason", &c.Reason, true},
		member{"frames", (*list[Frame])(&c.Frames), true},
		member{"registers", &c.Registers, true},
	)
}

func (f *Frame) members(m []member) []member {
	return append(
		m,
		member{"pc", &f.PC, false},
		member{"file", &f.File, true},
		member{"offset", &f.Offset, true},
	)
}
