package rootfs

import "maps"

// Filter returns a tree of the names that keep wants and the directories that
// lead to them. Nodes are shared with t, directories excepted.
func (t *Tree) Filter(keep func(p string, n *Node) bool) *Tree {
	f := *t
	f.Root = t.Root.filter("", keep)
	if f.Root == nil {
		f.Root = t.Root.bare()
	}
	return &f
}

func (n *Node) bare() *Node {
	c := *n
	c.children = map[string]*Node{}
	return &c
}

// filter gives what is left of a directory at p, nil if that is nothing.
func (n *Node) filter(p string, keep func(string, *Node) bool) *Node {
	left := n.bare()
	for name, c := range n.children {
		at := p + "/" + name
		switch {
		case c.IsDir():
			if d := c.filter(at, keep); d != nil {
				left.children[name] = d
			}
		case keep(at, c):
			left.children[name] = c
		}
	}
	if len(left.children) == 0 && !keep(p, n) {
		return nil
	}
	return left
}

// Merge puts what other has into t, where t has nothing.
func (t *Tree) Merge(other *Tree) { t.Root.merge(other.Root) }

func (n *Node) merge(other *Node) {
	for name, o := range maps.All(other.children) {
		switch c := n.children[name]; {
		case c == nil:
			n.children[name] = o
		case c.IsDir() && o.IsDir():
			c.merge(o)
		}
	}
}

// AddBase puts the directories and files of /etc that every program expects
// into t, where it has none: those of an empty root, nothing of the host's.
func (t *Tree) AddBase() error {
	base := NewTree()
	b := &builder{tree: base, bare: true}
	if err := b.base(); err != nil {
		return err
	}
	t.Merge(base)
	return nil
}
