//go:build linux && amd64

package accel

import (
	"bytes"
	"testing"
	"time"

	"husk/host/vmm"
	"husk/host/vmm/qemu"
)

// toLongMode copies the guest's memory from where PVH code ends to address 0
// and starts it as setUp does.
var toLongMode = []byte{
	0xbe, 0x00, 0x10, 0x10, 0x00, // mov $0x101000, %esi
	0x31, 0xff, // xor %edi, %edi
	0xb9, 0x00, 0x40, 0x00, 0x00, // mov $memorySize/4, %ecx
	0xfc,       // cld
	0xf3, 0xa5, // rep movsl
	0xb8, 0x20, 0x06, 0x00, 0x00, // mov $0x620, %eax
	0x0f, 0x22, 0xe0, // mov %eax, %cr4
	0xb8, 0x00, 0x10, 0x00, 0x00, // mov $pml4, %eax
	0x0f, 0x22, 0xd8, // mov %eax, %cr3
	0xb9, 0x80, 0x00, 0x00, 0xc0, // mov $EFER, %ecx
	0x0f, 0x32, // rdmsr
	0x0d, 0x00, 0x01, 0x00, 0x00, // or $LME, %eax
	0x0f, 0x30, // wrmsr
	0xb8, 0x33, 0x00, 0x01, 0x80, // mov $0x80010033, %eax
	0x0f, 0x22, 0xc0, // mov %eax, %cr0
	0x0f, 0x01, 0x15, 0x00, 0x48, 0x00, 0x00, // lgdt gdtPointer
	0xbc, 0x00, 0x90, 0x00, 0x00, // mov $stack, %esp
	0xb8, 0x10, 0x00, 0x00, 0x00, // mov $0x10, %eax
	0x8e, 0xd0, // mov %eax, %ss
	0x8e, 0xd8, // mov %eax, %ds
	0x8e, 0xc0, // mov %eax, %es
	0xea, 0x00, 0x60, 0x00, 0x00, 0x08, 0x00, // ljmp $0x08, $text
}

// TestProbeGuestIsRightOnAWorkingProcessor runs the probe's guest on QEMU's
// processor, so that a refusal by /dev/kvm is the fault of /dev/kvm.
func TestProbeGuestIsRightOnAWorkingProcessor(t *testing.T) {
	if _, err := qemu.Find(); err != nil {
		t.Skip(err)
	}
	image := make([]byte, 0x1000+memorySize)
	copy(image, toLongMode)
	load(image[0x1000:])
	kernel, err := vmm.File("probe", bytes.NewReader(qemu.PVH(image)))
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	ours, theirs, err := vmm.SocketPair("serial")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	p, err := qemu.Start(&vmm.Machine{
		Type: "microvm", Accel: TCG, Memory: 16 << 20, CPUs: 1, Kernel: kernel, Spec: kernel, Serial: theirs,
	})
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, p.Kill)
	defer late.Stop()
	if code := p.ExitCode(); code != (success<<1|1)&0xff {
		t.Errorf("status %#x: %s", code, p.Complaint())
	}
}
