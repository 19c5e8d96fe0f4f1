package elfdeps

import "slices"

// sortCache orders names as the dynamic linker's binary search expects:
// descending by compareCache.
func sortCache(names []string) {
	slices.SortFunc(names, func(a, b string) int { return compareCache(b, a) })
}

// compareCache compares as glibc's _dl_cache_libcmp: digits compare as
// numbers and stand above all other bytes.
func compareCache(a, b string) int {
	digit := func(s string, i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }
	at := func(s string, i int) int {
		if i < len(s) {
			return int(int8(s[i]))
		}
		return 0
	}
	i, j := 0, 0
	for i < len(a) {
		switch {
		case digit(a, i) && digit(b, j):
			x, y := 0, 0
			for ; digit(a, i); i++ {
				x = min(x*10+int(a[i]-'0'), 1<<30)
			}
			for ; digit(b, j); j++ {
				y = min(y*10+int(b[j]-'0'), 1<<30)
			}
			if x != y {
				return x - y
			}
		case digit(a, i):
			return 1
		case digit(b, j):
			return -1
		case at(a, i) != at(b, j):
			return at(a, i) - at(b, j)
		default:
			i++
			j++
		}
	}
	return at(a, i) - at(b, j)
}
