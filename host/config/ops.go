package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// opsConfig is OPS's config.json, every field of it. Those without a use here
// are raw: whatever they hold, they are named in a warning.
//
// Source: github.com/nanovms/ops, types/config.go.
type opsConfig struct {
	Args                      []string
	DisableArgsCopy           bool
	BaseVolumeSz              raw
	Boot                      raw
	UefiBoot                  raw
	Uefi                      raw
	BuildDir                  raw
	CloudConfig               raw
	TargetConfig              raw
	Debugflags                []string
	Dirs                      []string
	Env                       map[string]string
	Files                     []string
	Force                     raw
	Home                      raw
	Kernel                    raw
	KlibDir                   raw
	Klibs                     raw
	MapDirs                   map[string]string
	Mounts                    map[string]string
	NameServers               []string
	NanosVersion              raw
	NightlyBuild              raw
	NoTrace                   []string
	ManifestPassthrough       map[string]json.RawMessage
	Program                   string
	ProgramPath               string
	RebootOnExit              raw
	RunConfig                 opsRunConfig
	LocalFilesParentDirectory string
	TargetRoot                string
	TFSv4                     raw
	Version                   string
	Language                  string
	Description               string
	VolumesDir                raw
	PackageBaseURL            raw
	PackageManifestURL        raw
}

type opsRunConfig struct {
	Accel                        *bool
	AtExit                       raw
	Bridged                      bool
	BridgeIPAddress              raw
	BridgeName                   string
	CanIPForward                 raw
	CPUs                         int
	GPUs                         raw
	GPUType                      raw
	Debug                        bool
	Gateway                      string
	GdbPort                      int
	ImageName                    string
	InstanceGroup                raw
	InstanceName                 string
	IPAddress                    string
	IPv6Address                  string
	Kernel                       raw
	Memory                       string
	Mgmt                         raw
	Vga                          raw
	Mounts                       []string
	AttachVolumeOnInstanceCreate raw
	NetMask                      string
	Nics                         []opsNIC
	Background                   bool
	BackgroundDetach             bool
	Ports                        []string
	QMP                          raw
	ShowDebug                    bool
	ShowErrors                   bool
	ShowWarnings                 bool
	JSON                         raw
	TapName                      string
	UDPPorts                     []string
	Verbose                      bool
	VolumeSizeInGb               raw
	ThreadsPerCore               raw
}

type opsNIC struct {
	IPAddress, IPv6Address, NetMask, Gateway, BridgeName string
}

// raw is a value that is not looked into.
type raw json.RawMessage

func (r *raw) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

// set reports a value that asks for something.
func (r raw) set() bool {
	switch string(r) {
	case "", "null", "false", `""`, "0", "[]", "{}":
		return false
	}
	return true
}

// parseOPS reads OPS's form. Names match as encoding/json has them, which is
// what OPS uses: in any case. An unknown one is an error.
func parseOPS(b []byte) (*Config, error) {
	if err := known(b, reflect.TypeFor[opsConfig]()); err != nil {
		return nil, err
	}
	o := new(opsConfig)
	if err := json.Unmarshal(b, o); err != nil {
		e := &Error{Reason: firstLine(err.Error())}
		switch err := err.(type) {
		case *json.SyntaxError:
			e.Line = line(b, err.Offset)
		case *json.UnmarshalTypeError:
			e.Line = line(b, err.Offset)
			e.Reason = fmt.Sprintf("%s is a %s, not a %s", err.Field, err.Value, err.Type)
			if err.Field == "" {
				e.Reason = "an object in braces is expected here, not: " + err.Value
			}
		}
		return nil, e
	}
	return o.config(), nil
}

func line(b []byte, offset int64) int {
	return 1 + bytes.Count(b[:min(max(offset, 0), int64(len(b)))], []byte("\n"))
}

// known checks the members of every object against the type it becomes.
func known(b []byte, t reflect.Type) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if err := knownValue(d, b, t, 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return &Error{Line: line(b, d.InputOffset()), Reason: "more follows the configuration"}
	}
	return nil
}

// knownValue checks one value; t is nil where anything goes.
func knownValue(d *json.Decoder, b []byte, t reflect.Type, depth int) error {
	tok, err := d.Token()
	if err != nil {
		return syntax(d, b, err)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxNesting {
		return &Error{Line: line(b, d.InputOffset()), Reason: "is nested too deeply"}
	}
	for d.More() {
		inner := element(t)
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return syntax(d, b, err)
			}
			if t != nil && t.Kind() == reflect.Struct {
				f, ok := t.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, name.(string)) })
				if !ok {
					return &Error{Line: line(b, d.InputOffset()), Reason: fmt.Sprintf("unknown member %q", name)}
				}
				inner = f.Type
			}
		}
		if err := knownValue(d, b, inner, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		return syntax(d, b, err)
	}
	return nil
}

func element(t reflect.Type) reflect.Type {
	if t == nil || t == reflect.TypeFor[raw]() {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return t.Elem()
	}
	return nil
}

func syntax(d *json.Decoder, b []byte, err error) error {
	offset := d.InputOffset()
	if s, ok := err.(*json.SyntaxError); ok {
		offset = s.Offset
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &Error{Line: line(b, int64(len(b))), Reason: "ends in the middle"}
	}
	return &Error{Line: line(b, offset), Reason: firstLine(err.Error())}
}

// config translates.
func (o *opsConfig) config() *Config {
	r := &o.RunConfig
	c := &Config{
		Program: first(o.Program, o.ProgramPath), Args: o.Args, Env: o.Env,
		Files: o.Files, Dirs: o.Dirs, MapDirs: o.MapDirs, Sysroot: o.TargetRoot,
		Memory: opsMemory(r.Memory), CPUs: r.CPUs, Name: r.InstanceName, Tag: r.ImageName,
		Detach: r.Background || r.BackgroundDetach,
		Debug:  r.Debug, Verbose: r.Verbose || r.ShowDebug || r.ShowErrors || r.ShowWarnings,
		GDB: r.GdbPort,
		Net: Network{IP: r.IPAddress, IPv6: r.IPv6Address, Netmask: r.NetMask, Gateway: r.Gateway, DNS: o.NameServers},
	}
	o.images(c)
	o.network(c)
	o.volumes(c)
	o.debug(c)
	o.manifest(c)
	o.unused(c)
	return c
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// opsMemory turns OPS's sizes, which QEMU reads, into ours: a bare number is
// MiB.
func opsMemory(s string) string {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		return s + "M"
	}
	return strings.ToUpper(s)
}

func (o *opsConfig) images(c *Config) {
	if p := o.LocalFilesParentDirectory; p != "" {
		c.warn("LocalFilesParentDirectory: relative paths of Files and Dirs begin at %s", p)
		c.filesDir = p
	}
	for name, value := range map[string]string{
		"org.opencontainers.image.version": o.Version, "org.opencontainers.image.description": o.Description, "husk.language": o.Language,
	} {
		if value == "" {
			continue
		}
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[name] = value
	}
	c.copyArgs = !o.DisableArgsCopy
}

func (o *opsConfig) network(c *Config) {
	r := &o.RunConfig
	for _, p := range r.Ports {
		c.Ports = append(c.Ports, opsPorts(p, "")...)
	}
	for _, p := range r.UDPPorts {
		c.Ports = append(c.Ports, opsPorts(p, "/udp")...)
	}
	bridge := r.BridgeName
	if len(r.Nics) > 0 {
		n := r.Nics[0]
		c.Net.IP, c.Net.IPv6 = first(n.IPAddress, c.Net.IP), first(n.IPv6Address, c.Net.IPv6)
		c.Net.Netmask, c.Net.Gateway = first(n.NetMask, c.Net.Netmask), first(n.Gateway, c.Net.Gateway)
		bridge = first(n.BridgeName, bridge)
		if len(r.Nics) > 1 {
			c.warn("RunConfig.Nics: only the first of %d network cards is used", len(r.Nics))
		}
	}
	switch {
	case r.TapName != "":
		c.Net.Mode = "tap=" + r.TapName
		if r.Bridged || bridge != "" {
			c.warn("RunConfig.Bridged: the tap device %s is used as it is; connect it to the bridge yourself", r.TapName)
		}
	case bridge != "":
		c.Net.Mode = "bridge=" + bridge
	case r.Bridged:
		c.Net.Mode = "bridge=br0" // OPS's name for it
	}
	if a, err := netip.ParseAddr(c.Net.IP); c.Net.IP != "" && err == nil && a.Is4() && c.Net.Netmask == "" {
		c.Net.Netmask = "255.255.255.0" // what OPS takes it to be
	}
}

// opsPorts gives "80", "80,443" and "8000-8010", which hold on both sides,
// docker's form.
func opsPorts(s, proto string) []string {
	var ports []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if !strings.Contains(p, ":") {
			p += ":" + p
		}
		ports = append(ports, p+proto)
	}
	return ports
}

// volumes takes directories of the host; OPS's named volumes there are not.
func (o *opsConfig) volumes(c *Config) {
	for _, from := range slices.Sorted(maps.Keys(o.Mounts)) {
		c.Volumes = append(c.Volumes, from+":"+o.Mounts[from])
	}
	c.Volumes = append(c.Volumes, o.RunConfig.Mounts...)
}

func (o *opsConfig) debug(c *Config) {
	if a := o.RunConfig.Accel; a != nil {
		c.Accel = map[bool]string{true: "auto", false: "tcg"}[*a]
	}
	for _, f := range o.Debugflags {
		switch f {
		case "trace":
			c.Strace = "all"
			if len(o.NoTrace) > 0 {
				c.Strace = "!" + strings.Join(o.NoTrace, ",")
			}
		default:
			c.warn("Debugflags: %s is a flag of Nanos, without meaning here", f)
		}
	}
	if len(o.NoTrace) > 0 && c.Strace == "" {
		c.warn("NoTrace does nothing without \"trace\" in Debugflags")
	}
}

// manifest takes what Nanos's own manifest says that has a meaning here.
func (o *opsConfig) manifest(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(o.ManifestPassthrough)) {
		var text string
		_ = json.Unmarshal(o.ManifestPassthrough[name], &text)
		switch name {
		case "cwd":
			c.Workdir = text
		case "hostname":
			c.Hostname = text
		case "reboot_on_exit", "exec_wait_for_ip4_secs", "debugsyscalls":
			c.warn("ManifestPassthrough: %s is an option of Nanos and is not done", name)
		default:
			c.warn("ManifestPassthrough: %s is not known and is not done", name)
		}
	}
}

// unused warns of what is set and has no use here.
func (o *opsConfig) unused(c *Config) {
	for _, u := range []struct {
		value raw
		text  string
	}{
		{o.BaseVolumeSz, "BaseVolumeSz: the root grows with the machine's memory and has no size of its own"},
		{o.Boot, "Boot: husk has no boot loader"},
		{o.UefiBoot, "UefiBoot: husk has no boot loader"},
		{o.Uefi, "Uefi: husk boots without firmware"},
		{o.BuildDir, "BuildDir: images are kept in husk's own store"},
		{o.CloudConfig, "CloudConfig: machines run on this host only"},
		{o.TargetConfig, "TargetConfig: machines run on this host only"},
		{o.Home, "home: images are kept in husk's own store"},
		{o.Kernel, "Kernel: the kernel is inside husk"},
		{o.KlibDir, "KlibDir: the kernel has no loadable parts"},
		{o.Klibs, "Klibs: the kernel has no loadable parts"},
		{o.NanosVersion, "NanosVersion: the kernel is inside husk"},
		{o.NightlyBuild, "NightlyBuild: the kernel is inside husk"},
		{o.RebootOnExit, "RebootOnExit: the machine ends with its program"},
		{o.TFSv4, "TFSv4: images are EROFS"},
		{o.VolumesDir, "VolumesDir: volumes are directories of this host"},
		{o.PackageBaseURL, "PackageBaseURL: packages come from Debian's mirrors"},
		{o.PackageManifestURL, "PackageManifestURL: packages come from Debian's mirrors"},
		{o.RunConfig.AtExit, "RunConfig.AtExit: there are no hooks"},
		{o.RunConfig.BridgeIPAddress, "RunConfig.BridgeIPAddress: bridges are the host's affair"},
		{o.RunConfig.CanIPForward, "RunConfig.CanIPForward: machines run on this host only"},
		{o.RunConfig.GPUs, "RunConfig.GPUs: there are no GPUs"},
		{o.RunConfig.GPUType, "RunConfig.GPUType: there are no GPUs"},
		{o.RunConfig.InstanceGroup, "RunConfig.InstanceGroup: machines run on this host only"},
		{o.RunConfig.Kernel, "RunConfig.Kernel: the kernel is inside husk"},
		{o.RunConfig.Mgmt, "RunConfig.Mgmt: QEMU's monitor is not offered"},
		{o.RunConfig.QMP, "RunConfig.QMP: QEMU's monitor is not offered"},
		{o.RunConfig.Vga, "RunConfig.Vga: there is no screen"},
		{o.RunConfig.AttachVolumeOnInstanceCreate, "RunConfig.AttachVolumeOnInstanceCreate: volumes are always attached"},
		{o.RunConfig.JSON, "RunConfig.JSON: output is the program's"},
		{o.RunConfig.VolumeSizeInGb, "RunConfig.VolumeSizeInGb: machines run on this host only"},
		{o.RunConfig.ThreadsPerCore, "RunConfig.ThreadsPerCore: processors have one thread"},
	} {
		if u.value.set() {
			c.warn("%s", u.text)
		}
	}
}
