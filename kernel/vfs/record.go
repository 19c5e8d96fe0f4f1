package vfs

// What Record's listener is told of a name.
const (
	NameFound  = '+' // a path walk found it, or followed it if it is a link
	NameMissed = '-' // a path walk did not find it
	NameListed = '=' // it is a directory whose entries were asked for
)

// recorder hears of the names that programs come by; nil when nobody listens.
var recorder func(kind byte, name string)

// Record lets f hear of every name that a path walk finds, follows or misses,
// directories on the way included, and of every directory that is listed. What
// is found or missed is told once as long as it stays in the cache. Record is
// called before the first program starts; f may be called by several at once
// and may sleep.
func Record(f func(kind byte, name string)) { recorder = f }

// record tells the recorder of d, a child of where the walk is.
func (w *walk) record(d *Dentry, found bool) {
	kind, flag := byte(NameMissed), uint32(dentryMissed)
	if found {
		kind, flag = NameFound, dentryFound
	}
	if d.flags.Or(flag)&flag == 0 {
		recordPath(kind, Path{w.path.Mount, d})
	}
}

func recordPath(kind byte, p Path) {
	root := Path{}
	if p.Mount != nil {
		root = Path{p.Mount.ns.root, p.Mount.ns.root.Root}
	}
	// Not Path.String: no " (deleted)", even if the name has just gone.
	if name, ok := pathString(p, root); ok {
		recorder(kind, name)
	}
}
