package main

import "errors"

// packOptions say which program is to be packed and what decides what it needs.
type packOptions struct {
	Program, Sysroot, Cwd string
	Env                   []string
	CacheDir              string
}

// packedImage is an image file and the program's path in it.
type packedImage struct{ File, Program string }

// pack gathers what the program needs into an image, or finds the image that
// an earlier run made.
var pack = func(packOptions) (packedImage, error) {
	return packedImage{}, errors.New("packing is not built in yet: use -r /")
}
