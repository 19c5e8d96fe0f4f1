package netstack

import (
	"encoding/hex"
	"testing"

	"husk/kernel/inet"
)

// FuzzFrames has a card give the stack what it likes: two frames at once, so
// that they may be merged, whole or in pieces.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		"0200000000010200000000020800" + "45000028000000004006000001020304" + "0a0000010050" + "0051000000010000000250100100" + "00000000",
		"02000000000102000000000286dd" + "6000000000080640fe800000000000000000000000000001fe80000000000000000000000000000200500051",
		"ffffffffffff0200000000020806" + "0001080006040001020000000002" + "0a0000020000000000000a000001",
	} {
		p, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p, p, uint8(0), uint8(20))
		f.Add(p, p, uint8(3), uint8(60))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, flags, cut uint8) {
		network(t)
		var frames []inet.Frame
		for k, p := range [][]byte{a, b} {
			if len(p) < 14 {
				continue
			}
			pieces := [][]byte{p}
			if at := int(cut); at >= 14 && at < len(p) {
				pieces = [][]byte{p[:at], p[at:]}
			}
			frames = append(frames, inet.Frame{Pieces: pieces, Verified: flags>>k&1 != 0, Partial: flags>>(k+2)&1 != 0})
		}
		wire.r.Receive(0, frames)
	})
}
