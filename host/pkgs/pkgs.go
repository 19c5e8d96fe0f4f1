// Package pkgs makes root file systems of Debian's packages, on any machine:
// without root, without dpkg, and without running anything of theirs.
//
// What flows in is apt's configuration or a mirror's address, keyrings and
// names of packages; what flows out is a rootfs.Tree. Nothing that a mirror
// sends is believed without a signature: InRelease by the distribution's keys,
// indexes by InRelease, packages by the indexes.
package pkgs
