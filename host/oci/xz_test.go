package oci

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

func unxz(b []byte) ([]byte, error) {
	r, err := newXzReader(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// sample is text with some noise in it.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i / 7)
		if i%50 == 0 {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

func TestXzOfEveryKindIsRead(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("xz is not installed")
	}
	for _, size := range []int{0, 1, 1000, 700<<10 + 1} {
		want := sample(size)
		for _, flags := range []string{"-0", "-6", "--check=none", "--check=crc32", "--check=sha256", "--block-size=100KiB", "-T2 --block-size=300KiB"} {
			cmd := exec.Command("xz", append(strings.Fields(flags), "-c")...)
			cmd.Stdin = bytes.NewReader(want)
			z, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := unxz(z); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes with %s: %d bytes (%v)", size, flags, len(got), err)
			}
			two := append(append(bytes.Clone(z), 0, 0, 0, 0), z...)
			if got, err := unxz(two); err != nil || !bytes.Equal(got, append(bytes.Clone(want), want...)) {
				t.Errorf("twice %d bytes with %s: %d bytes (%v)", size, flags, len(got), err)
			}
			if got, err := unxz(z[:len(z)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut off: %d bytes (%v)", len(got), err)
			}
		}
	}
}

func TestXzBoundsItsMemoryInEveryBlock(t *testing.T) {
	z := compressXz(t, sample(1000))
	// Behind the stream's header stands the block's: size, flags, filter,
	// size of its properties, dictionary.
	huge := bytes.Clone(z)
	head := huge[12 : 12+4*(int(huge[12])+1)]
	i := bytes.IndexByte(head, 0x21)
	head[i+2] = 40
	binary.LittleEndian.PutUint32(head[len(head)-4:], crc32.ChecksumIEEE(head[:len(head)-4]))
	for _, b := range [][]byte{huge, append(bytes.Clone(z), huge...)} {
		if _, err := unxz(b); !errors.Is(err, errXzMemory) {
			t.Errorf("error %v", err)
		}
	}
	for i := range z {
		bad := bytes.Clone(z)
		bad[i] ^= 0x10
		if got, err := unxz(bad); err == nil && !bytes.Equal(got, sample(1000)) {
			t.Errorf("a changed byte %d gives something else", i)
		}
	}
}

func compressXz(t testing.TB, b []byte) []byte {
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf)
	if err == nil {
		_, err = w.Write(b)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// FuzzXz gives what the library gives, or an error.
func FuzzXz(f *testing.F) {
	f.Add(compressXz(f, nil))
	f.Add(compressXz(f, sample(500)))
	f.Add(append(compressXz(f, sample(5)), compressXz(f, sample(9))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := newXzReader(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		got, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil || len(got) == 1<<20 {
			return
		}
		l, err := xz.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		if want, err := io.ReadAll(l); err == nil && !bytes.Equal(got, want) {
			t.Errorf("%q, the library has %q", got, want)
		}
	})
}
