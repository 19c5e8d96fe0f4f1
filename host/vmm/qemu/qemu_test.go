package qemu

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"husk/host/vmm"
)

func machine() *vmm.Machine {
	f := os.Stdin
	return &vmm.Machine{
		Type: "microvm", Accel: "tcg", Memory: 64 << 20, CPUs: 2, Kernel: f, Spec: f, Serial: f,
		Ports:  []vmm.Port{{Name: "husk.control", File: f}, {Name: "a,b", File: f}},
		Disks:  []vmm.Disk{{Path: "/a,b", Readonly: true}},
		Shares: []vmm.Share{{Tag: "root", Path: "/", Readonly: true}},
	}
}

func TestCommandPassesFilesByDescriptorOnly(t *testing.T) {
	for _, typ := range []string{"microvm", "q35"} {
		m := machine()
		m.Type = typ
		args, files := Command(m)
		line := strings.Join(args, " ")
		if len(files) != 5 {
			t.Errorf("%d files", len(files))
		}
		for _, want := range []string{
			"-kernel /dev/fd/3", "-initrd /dev/fd/4", "socket,id=serial,fd=5", "socket,id=port0,fd=6", "socket,id=port1,fd=7",
			"-m 65536k", "-smp 2", "-sandbox on", "spawn=deny", "-no-user-config", "file=/a,,b,read-only=on",
			"name=a,,b", "readonly=on", "security_model=none", "-cpu max",
		} {
			if !strings.Contains(line, want) {
				t.Errorf("%s: no %q in %s", typ, want, line)
			}
		}
		if strings.Contains(line, "-gdb") || strings.Contains(line, "virtio-blk-pci") != (typ == "q35") {
			t.Error(line)
		}
	}
}

func TestCommandForHardwareAndDebugger(t *testing.T) {
	m := machine()
	m.Accel, m.GDB = "kvm", 1234
	args, _ := Command(m)
	for _, want := range []string{"kvm", "host", "tcp:127.0.0.1:1234", "-S"} {
		if !slices.Contains(args, want) {
			t.Errorf("no %q in %q", want, args)
		}
	}
}

func TestMissingQEMUSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("HUSK_QEMU", "")
	if _, err := Start(machine()); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Error(err)
	}
}

func TestStubBootsOnEveryMachine(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Skip(err)
	}
	for _, typ := range []string{"microvm", "q35"} {
		took, err := Try(typ, "tcg", 20*time.Second)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		t.Log(typ, took)
	}
	if _, err := Try("microvm", "no-such", 20*time.Second); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("unknown accelerator: %v", err)
	}
}

// TestFullMachineStarts has every kind of device in the sandbox at once.
func TestFullMachineStarts(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Skip(err)
	}
	for _, typ := range []string{"microvm", "q35"} {
		m := machine()
		m.Type = typ
		disk := t.TempDir() + "/disk,with comma"
		if err := os.WriteFile(disk, make([]byte, 4096), 0o444); err != nil {
			t.Fatal(err)
		}
		m.Disks[0].Path = disk
		kernel, err := vmm.File("stub", strings.NewReader(string(Stub())))
		if err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		m.Kernel, m.Spec = kernel, kernel
		var ours []*os.File
		pair := func() *os.File {
			a, b, err := vmm.SocketPair("x")
			if err != nil {
				t.Fatal(err)
			}
			ours = append(ours, a, b)
			return b
		}
		m.Serial = pair()
		for i := range m.Ports {
			m.Ports[i].File = pair()
		}
		p, err := Start(m)
		if err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(20*time.Second, p.Kill)
		if code := p.ExitCode(); code != stubStatus {
			t.Errorf("%s: status %d: %s", typ, code, p.Complaint())
		}
		late.Stop()
		for _, f := range ours {
			f.Close()
		}
	}
}

func BenchmarkStub(b *testing.B) {
	for b.Loop() {
		if _, err := Try("microvm", "tcg", 20*time.Second); err != nil {
			b.Fatal(err)
		}
	}
}
