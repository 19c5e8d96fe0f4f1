package linux

import (
	"bytes"
	"testing"
)

func TestCPIOIsAligned(t *testing.T) {
	var b bytes.Buffer
	if err := writeCPIO(&b, []file{{"a", 0o100644, []byte("x")}, {"dir/name", 0o100755, make([]byte, 5)}}); err != nil {
		t.Fatal(err)
	}
	if b.Len()%4 != 0 || bytes.Count(b.Bytes(), []byte("070701")) != 3 || !bytes.Contains(b.Bytes(), []byte("TRAILER!!!\x00")) {
		t.Fatalf("not a newc archive of two members: %q", b.String())
	}
}
