package accel

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestProbeAnswersInTime(t *testing.T) {
	start := time.Now()
	err := Probe()
	t.Log(err, time.Since(start))
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestVerdictIsKeptForThisBootOnly(t *testing.T) {
	for _, err := range []error{nil, ErrAbsent, errors.New("a reason")} {
		file := filepath.Join(t.TempDir(), "husk", "accel")
		remember(file, "boot 0", err)
		b, _ := os.ReadFile(file)
		c, ok := recall(string(b), "boot 0")
		if !ok || !c.Cached || (c.Name == KVM) != (err == nil) || (err != nil && c.Reason.Error() != err.Error()) {
			t.Errorf("%v came back as %+v, %v", err, c, ok)
		}
		if _, ok := recall(string(b), "boot 1"); ok {
			t.Error("recalled after a reboot")
		}
	}
	for _, text := range []string{"", "boot 0", "\n\n"} {
		if c, ok := recall(text, "boot 0"); ok {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestChooseRemembersAndRejectWins(t *testing.T) {
	if bootID() == "" {
		t.Skip("no identity of the boot here")
	}
	dir := t.TempDir()
	if c := Choose(dir); c.Cached {
		t.Error("cached at first")
	}
	if c := Choose(dir); !c.Cached {
		t.Error("not cached then")
	}
	Reject(dir, errors.New("no"))
	if c := Choose(dir); c.Name != TCG || c.Reason.Error() != "no" {
		t.Errorf("%+v", c)
	}
}
