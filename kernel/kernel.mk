# The kernel: go build with the flags that place it in the top 2 GiB, then
# mkkernel. Included by the Makefile at the top; also works alone:
#	make -f kernel/kernel.mk kernel

# Packages in which size counts and speed does not: their functions are not
# inlined.
KERNEL_COLD = fs/proc fs/sys ipc mqueue trace netlink control stream seccomp

# -T takes a signed number: 0xffffffff80201000. Functions on 16 bytes instead of
# 32 save 57 KB.
KERNEL_FLAGS = -tags baremetal$(KERNEL_TAGS) -trimpath \
	-ldflags "-T -2145382400 -E husk/kernel/metal.entry -funcalign=16" \
	$(KERNEL_COLD:%=-gcflags=husk/kernel/%=-l)

# A random heap base costs up to 130,000 instructions at boot and protects
# nothing here.
KERNEL_ENV = CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOEXPERIMENT=norandomizedheapbase64

# build/kernel.elf boots; build/kernel is what debuggers read.
.PHONY: kernel
kernel:
	@mkdir -p build
	$(KERNEL_ENV) go build $(KERNEL_FLAGS) -o build/kernel ./cmd/kernel
	go run ./cmd/mkkernel -o build/kernel.elf build/kernel

# The kernel with the TCP/IP stack and drivers of network cards.
.PHONY: kernel-net
kernel-net: KERNEL_TAGS = ,inet
kernel-net:
	@mkdir -p build
	$(KERNEL_ENV) go build $(KERNEL_FLAGS) -o build/kernel-net ./cmd/kernel
	go run ./cmd/mkkernel -o build/kernel-net.elf build/kernel-net

# A bootable test kernel of one package: make test-kernel PKG=./kernel/metal/machinetest
.PHONY: test-kernel
test-kernel:
	@mkdir -p build
	$(KERNEL_ENV) go test -c $(KERNEL_FLAGS) -o build/test-kernel $(PKG)
	go run ./cmd/mkkernel -o build/test-kernel.elf build/test-kernel

# The call-graph check of the metal layer and the facts about the toolchain.
LINT_KERNEL = lint-kernel
.PHONY: lint-kernel
lint-kernel:
	go test -count=1 ./kernel/metal/lint
