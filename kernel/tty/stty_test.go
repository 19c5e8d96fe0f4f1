package tty

import "testing"

func TestRestoreTakesALineOfStty(t *testing.T) {
	term := &Terminal{termios: standard}
	term.Restore("4500:5:bf:8a3b:3:1c:8:15:4:0:1:0:11:13:1a:0:12:f:17:16:0:0:0")
	if got := &term.termios; got.Iflag != 0x4500 || got.Lflag != 0x8a3b || got.Cc[2] != 8 || got.Ospeed != 38400 {
		t.Errorf("%+v", got)
	}
	was := term.termios
	for _, bad := range []string{"", ":", "1:2:3", "1:2:3:4:100", "x:2:3:4", "1:2:3:4:zz", "100000000:2:3:4"} {
		if term.Restore(bad); term.termios != was {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add("4500:5:bf:8a3b:3:1c:7f:15:4:0:1:0:11:13:1a:0:12:f:17:16:0:0:0")
	f.Fuzz(func(t *testing.T, line string) {
		term := &Terminal{termios: standard}
		term.Restore(line)
	})
}
