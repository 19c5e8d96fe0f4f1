# Husk. `make help` lists what can be made.

GO          ?= go
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := $(GO) run mvdan.cc/gofumpt@v0.12.0
# The race detector needs a C compiler.
RACE        := $(if $(shell command -v gcc 2>/dev/null),-race)
# Where else the command is to compile.
CROSS       := darwin/amd64 darwin/arm64 linux/arm64 windows/amd64
# The program that `make run` runs, and its arguments.
PROGRAM     ?= /usr/bin/ls -l /

export CGO_ENABLED = 0

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all run test lint bench compat apps suites test-packages nightly net clean help qemu fast embed FORCE

all: bin/husk ## build bin/husk, the command with the kernel inside it

# How the kernel is built is the kernel's affair.
include kernel/kernel.mk

kernel: ## build the kernel alone: build/kernel.elf boots, build/kernel is for gdb
kernel-net: ## build the kernel with the TCP/IP stack

# A copy only when it differs, so that go build has nothing to do.
embed: kernel kernel-net
	@for k in kernel kernel-net; do \
		cmp -s build/$$k.elf host/embedded/files/$$k.elf || cp build/$$k.elf host/embedded/files/$$k.elf || exit 1; \
	done

# go build knows itself what has changed.
bin/husk: embed FORCE
	$(GO) build -trimpath -ldflags='-s -w' -o $@ ./cmd/husk

run: all qemu ## run a program of this machine as a unikernel (PROGRAM='/usr/bin/ls -l /')
	bin/husk run $(PROGRAM)

qemu:
	@command -v qemu-system-x86_64 >/dev/null || { \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends qemu-system-x86; }

test: all qemu lint ## everything that CI runs
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) $$($(GO) list ./... | grep -v '^husk/test')
	HUSK=$(CURDIR)/bin/husk $(GO) test -count=1 -timeout 15m $$($(GO) list ./test/... | grep -v '/packages$$')
	@# It says why, if there is no mirror to test with.
	HUSK=$(CURDIR)/bin/husk $(GO) test -count=1 -timeout 15m -v ./test/packages
	$(GO) run ./bench -check

fast: ## the tests that need no machine, for the inner loop
	$(GO) vet ./... && $(GO) test -short ./...

lint: ## vet, staticcheck, gofumpt and the call-graph check of the metal layer
	$(GO) vet ./...
	@for t in $(CROSS); do \
		echo "$$t: go build, go vet"; \
		GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/husk && \
		GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) vet ./cmd/husk ./host/... ./spec/... || exit 1; \
	done
	$(STATICCHECK) $$($(GO) list ./... | grep -v /kernel/metal)
	@# Assembly uses what staticcheck takes for unused here.
	$(STATICCHECK) -tags baremetal -checks inherit,-U1000 ./kernel/metal/... ./cmd/kernel
	@files=$$($(GOFUMPT) -l .); [ -z "$$files" ] || { echo "not formatted by gofumpt:" $$files; exit 1; }
	$(if $(LINT_KERNEL),$(MAKE) $(LINT_KERNEL))

bench: all qemu ## measure husk beside a Linux guest, in instructions and in time
	$(GO) run ./bench $(BENCH)

compat: all qemu ## run every program of /usr/bin and /usr/sbin natively and in husk
	$(GO) build -o build/compat-driver ./test/compat/driver
	$(GO) run ./test/compat $(COMPAT)

suites: all qemu ## run other projects' test suites natively and in husk (SUITES='-only os,os/exec')
	$(GO) run ./test/suites/sweep $(SUITES)

# Seconds that each fuzz target gets.
FUZZ ?= 60
fuzz: ## run every fuzz target for FUZZ seconds (60)
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ)s $$p || exit 1; \
		done; \
	done

apps: all qemu ## shells, make, git, python, tmux and PostgreSQL, natively and in husk
	HUSK_APPS=1 HUSK=$(CURDIR)/bin/husk $(GO) test -count=1 -timeout 40m -v ./test/apps

# Which of them: names with commas between.
PACKAGES ?= all
test-packages: all qemu ## make every package of the catalogue and run it (PACKAGES=nginx,redis-server)
	HUSK_PACKAGES=$(PACKAGES) HUSK=$(CURDIR)/bin/husk $(GO) test -count=1 -timeout 90m -v ./test/packages

nightly: all qemu fuzz apps net ## fuzzing, applications, the network, torture at full length, 200 boots
	HUSK_NIGHTLY=1 HUSK=$(CURDIR)/bin/husk $(GO) test -count=1 -timeout 60m -v ./test/torture

net: all qemu ## the tests of the network at full length; as root with taps and bridges as well
	HUSK_NIGHTLY=1 HUSK=$(CURDIR)/bin/husk $(GO) test -count=1 -timeout 60m -v ./test/net

clean: ## remove what was built
	rm -rf bin build host/embedded/files/*.elf

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
