module husk

go 1.26.8

require (
	github.com/goccy/go-yaml v1.19.2
	github.com/google/go-containerregistry v0.20.8
	github.com/klauspost/compress v1.18.4
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	github.com/ulikunitz/xz v0.5.17
	golang.org/x/sys v0.49.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
)
