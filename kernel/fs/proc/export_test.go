package proc

// What the tests need; they are in a package of their own because package sys,
// which they mount as well, imports this one through the network's.
var (
	Mount      = mount
	Sysctls    = sysctls
	NameColumn = nameColumn
)
