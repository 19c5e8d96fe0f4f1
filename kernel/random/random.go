// Package random is the kernel's generator of random bytes, for getrandom(2),
// /dev/urandom and the kernel itself: ChaCha8, seeded from the machine's
// entropy source and seeded anew now and then.
//
// Lock: mu is a leaf.
package random

import (
	"math/rand/v2"
	"sync"

	"husk/kernel/cpu"
)

// reseedAfter is how many bytes one seed serves. The generator forgets its
// earlier states by itself; new seeds guard against one that became known.
const reseedAfter = 1 << 20

var (
	mu   sync.Mutex
	gen  *rand.ChaCha8 // nil until first use
	left int
)

// Read fills p with random bytes.
func Read(p []byte) {
	mu.Lock()
	defer mu.Unlock()
	for len(p) > 0 {
		if left <= 0 {
			var seed [32]byte
			cpu.Random(seed[:])
			if gen == nil {
				gen = rand.NewChaCha8(seed)
			} else {
				var old [32]byte
				_, _ = gen.Read(old[:])
				for i := range seed {
					seed[i] ^= old[i]
				}
				gen.Seed(seed)
			}
			left = reseedAfter
		}
		n := min(len(p), left)
		_, _ = gen.Read(p[:n])
		left -= n
		p = p[n:]
	}
}
