// Package spec is what the command and the kernel agree on: the run
// specification that a machine is given, the messages of the control port and
// the report with which a machine ends. It is imported by both sides and
// imports neither.
//
// The run specification is the OCI runtime specification's config.json
// (https://github.com/opencontainers/runtime-spec, config.md) as far as it
// concerns a unikernel; unknown members are ignored as that document asks.
// What it has no word for are annotations under "husk.".
package spec

// Spec is one run specification.
type Spec struct {
	OCIVersion  string            `json:"ociVersion"`
	Process     Process           `json:"process"`
	Root        Root              `json:"root"`
	Hostname    string            `json:"hostname,omitempty"`
	Mounts      []Mount           `json:"mounts,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Network     *Network          `json:"network,omitempty"` // nil: there is only lo
}

// Network says how the machine's network is set up. The OCI has no word for it.
type Network struct {
	// Interfaces belong to the network cards in their order.
	Interfaces []Interface `json:"interfaces,omitempty"`
	// DNS are the addresses of name servers for /etc/resolv.conf, and Search
	// the domains for names without a dot. Without DNS the file stays as it is.
	DNS    []string `json:"dns,omitempty"`
	Search []string `json:"search,omitempty"`
}

// Interface is a network card's configuration. Its MAC address is the card's.
type Interface struct {
	Name      string   `json:"name,omitempty"`      // eth0, eth1, … when empty
	Addresses []string `json:"addresses,omitempty"` // with prefix: 10.0.2.15/24
	Gateways  []string `json:"gateways,omitempty"`  // default routes
	Routes    []Route  `json:"routes,omitempty"`
	MTU       int      `json:"mtu,omitempty"`
	// Auto has the machine ask for what it is not given: by DHCP, and of the
	// routers of IPv6.
	Auto bool `json:"auto,omitempty"`
}

// Route is the way to a prefix: by a gateway or, without one, on the link.
type Route struct {
	Destination string `json:"destination"`
	Gateway     string `json:"gateway,omitempty"`
}

// Process is the first process of the machine.
type Process struct {
	Terminal        bool        `json:"terminal,omitempty"`
	ConsoleSize     ConsoleSize `json:"consoleSize,omitzero"`
	User            User        `json:"user"`
	Args            []string    `json:"args"`
	Env             []string    `json:"env,omitempty"`
	Cwd             string      `json:"cwd"`
	Rlimits         []Rlimit    `json:"rlimits,omitempty"`
	NoNewPrivileges bool        `json:"noNewPrivileges,omitempty"`
}

// ConsoleSize is the size of the terminal in characters.
type ConsoleSize struct {
	Height uint16 `json:"height"`
	Width  uint16 `json:"width"`
}

// User is who the process runs as. Username, when set, is looked up in the
// root's /etc/passwd by the kernel and wins over the numbers.
type User struct {
	UID            uint32   `json:"uid"`
	GID            uint32   `json:"gid"`
	Umask          *uint32  `json:"umask,omitempty"`
	AdditionalGids []uint32 `json:"additionalGids,omitempty"`
	Username       string   `json:"username,omitempty"`
}

// Rlimit is one resource limit, Type as in "RLIMIT_NOFILE".
type Rlimit struct {
	Type string `json:"type"`
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// Root says where the root file system is. Path is "erofs:N" for the EROFS
// image on the N-th block device (counted from 0) or "9p:TAG" for a shared
// directory; a tmpfs overlay stands above it unless Readonly.
type Root struct {
	Path     string `json:"path"`
	Readonly bool   `json:"readonly,omitempty"`
}

// Mount is a mount above the root. Source is "9p:TAG" or a name for virtual
// file systems; Options are those of mount(8).
type Mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type,omitempty"`
	Source      string   `json:"source,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// Annotations that the kernel understands.
const (
	// AnnotationStrace turns system call tracing on; its value is strace's
	// -e trace= list ("all", "file", "openat,read", "!memory").
	AnnotationStrace = "husk.strace"
	// AnnotationFiles ("1") has the names that programs come by told on
	// PortTrace: '+' for one that was found, '-' for one that was not, '=' for
	// a directory that was listed, then the absolute path and a zero byte.
	// It excludes AnnotationStrace.
	AnnotationFiles = "husk.files"
	// AnnotationVerbose ("1") lets the kernel log to the serial port.
	AnnotationVerbose = "husk.verbose"
	// AnnotationExec is the file to execute, when set: args[0] is then only
	// the name that the program sees, as with exec -a.
	AnnotationExec = "husk.exec"
	// AnnotationTermios is how the user's terminal is set, as "stty -g" prints
	// it: the program's terminal starts with the same settings. With it the
	// host is told when the first process is stopped (TypeStopped) and has it
	// continued.
	AnnotationTermios = "husk.termios"
	// AnnotationStdin is "none" when stdin is /dev/null.
	AnnotationStdin = "husk.stdin"
)

// The names of the virtio-console ports. With a terminal, Stdin and Stdout
// are the two directions of one stream, PortConsole, and the other two are
// absent.
const (
	PortStdin   = "husk.stdin"
	PortStdout  = "husk.stdout"
	PortStderr  = "husk.stderr"
	PortConsole = "husk.console"
	PortControl = "husk.control"
	PortTrace   = "husk.trace" // what AnnotationStrace or AnnotationFiles ask for
)
