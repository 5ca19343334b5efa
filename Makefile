# make demo      shows a container that is isolated
# make test      installs what the tests need (Debian packages, as root) and runs all of them
# make build     target/release/bareboat, one static file
# make engines-all  runs containers with every engine, by bareboat and by runc, and prints a table of both
# make load      makes hundreds of containers at once, and looks for what is left of them
# make faults    fails every system call of the runtime and its init, and kills both at each, one at a time: 15 minutes
# make adversity  has disks fill up, descriptors run out, state damaged and callers killed, far more often than the tests do
# make vm        runs the black-box tests in a virtual machine with cgroup version 2, systemd and AppArmor, and engines there
# make vm-quick  those of them that depend most on the machine
# make fuzz      has each fuzz target try some thousands of inputs
# make deny      checks the licences, bans and sources of all dependencies; make advisories, whether vulnerabilities are known
# make miri      runs the tests of the plan's codec under Miri, on a nightly toolchain
# make install   puts it, its man pages and shell completions below $(DESTDIR)$(PREFIX); make uninstall takes them away
# make bench     start-up times, against the other runtimes that are installed
# make bench-all memory, system calls and density as well, in ten minutes; tables, a picture, JSON
# make functions renews runtime-cli/functions, by which the binary is laid out, in a quarter of an hour
# make bench-library  what the library computes: plans, filters, their encoding

PREFIX ?= /usr/local
CARGO ?= cargo
CARGO_FLAGS ?= --locked
TARGET := $(or $(CARGO_TARGET_DIR),target)
RUNTIME ?= $(TARGET)/release/bareboat

# Man pages and completions, laid out as below $(PREFIX)/share; their date is SOURCE_DATE_EPOCH's where that is set.
MANUAL := $(TARGET)/manual
DATE := $(shell date --utc $(if $(SOURCE_DATE_EPOCH),--date @$(SOURCE_DATE_EPOCH)) +%F)

TOOLS := gcc libc6-dev
TEST_PACKAGES := $(TOOLS) busybox-static fish groff-base iproute2 libseccomp-dev man-db mandoc pkg-config procps python3 runc \
	uidmap zsh
CARGO_DENY := 0.20.2

.PHONY: build manual demo test check unit fuzz deny advisories miri engines engines-all load faults adversity runtime-tools vm \
	vm-quick install uninstall install-check bench bench-all bench-library functions clean

build:
	.ci/install $(TOOLS)
	$(CARGO) build $(CARGO_FLAGS) --release -p runtime-cli

demo: build
	.ci/install busybox-static
	conformance/bundle/demo $(RUNTIME) target/demo

test: check unit install-check engines runtime-tools vm-quick

check:
	.ci/install $(TEST_PACKAGES)
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(CARGO_FLAGS) --profile init -p runtime-init --bin runtime-init --features freestanding -- -D warnings

# The black-box suites run the release binary.
unit: build
	.ci/install $(TEST_PACKAGES)
	RUNTIME=$(abspath $(RUNTIME)) $(CARGO) test $(CARGO_FLAGS) --workspace

# Building the targets takes minutes, so `test` does without; unit tests run their bodies over the seeds and mutants of them.
fuzz:
	.ci/install $(TOOLS) g++
	fuzz/run

# Building cargo-deny takes minutes, so `test` does without; runtime-cli/tests/dependencies.rs checks a part of it.
deny:
	$(CARGO) install --quiet --locked --root $(TARGET)/tools --version $(CARGO_DENY) cargo-deny
	$(TARGET)/tools/bin/cargo-deny --locked check bans licenses sources
	$(TARGET)/tools/bin/cargo-deny --locked --manifest-path fuzz/Cargo.toml check bans licenses sources

# Needs github.com, where the database of advisories is.
advisories: deny
	$(TARGET)/tools/bin/cargo-deny --locked check advisories

miri:
	$(CARGO) +nightly miri test -p runtime-init --test codec

engines: build
	.ci/install $(TEST_PACKAGES)
	conformance/engines/run --runtime $(RUNTIME)

engines-all: build
	.ci/install $(TEST_PACKAGES)
	conformance/engines/run --all --compare runc --runtime $(RUNTIME)

# With 200 containers by 16 callers, which `unit` has no time for.
load: build
	.ci/install $(TEST_PACKAGES)
	$(CARGO) test $(CARGO_FLAGS) -p conformance --test load -- --include-ignored --nocapture --test-threads 1
	$(CARGO) test $(CARGO_FLAGS) -p runtime-core --test threads -- --include-ignored load::
	conformance/engines/run --group load --compare runc --runtime $(RUNTIME)

# Of what `unit` does a sample of.
faults: build
	.ci/install $(TEST_PACKAGES)
	$(CARGO) test $(CARGO_FLAGS) -p conformance --test faults -- --ignored --nocapture --test-threads 1

# Each moment and each length that `unit` takes samples of.
adversity: build
	.ci/install $(TEST_PACKAGES)
	$(CARGO) test $(CARGO_FLAGS) -p conformance --test adversity --test concurrency -- --include-ignored --nocapture --test-threads 2

# OCI's own validation suite, with Debian's runc beside it.
runtime-tools: build
	.ci/install runc
	conformance/runtime-tools/run --compare runc --runtime $(RUNTIME)

vm: build
	.ci/install $(TEST_PACKAGES)
	conformance/vm/run --runtime $(RUNTIME) --timeout 2700 --suite --engines

vm-quick: build
	.ci/install $(TEST_PACKAGES)
	conformance/vm/run --runtime $(RUNTIME) --timeout 600 --quick

manual:
	rm -rf $(MANUAL)
	$(CARGO) run $(CARGO_FLAGS) --release -p manual -- $(MANUAL) $(DATE)

install: build manual
	install -D -m 755 $(TARGET)/release/bareboat $(DESTDIR)$(PREFIX)/bin/bareboat
	find $(MANUAL) -type f -printf '%P\n' | while read -r file; do \
		install -D -m 644 $(MANUAL)/$$file $(DESTDIR)$(PREFIX)/share/$$file || exit; done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/bareboat
	rm -f $(DESTDIR)$(PREFIX)/share/man/man8/bareboat.8 $(DESTDIR)$(PREFIX)/share/man/man8/bareboat-*.8
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bareboat
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bareboat
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bareboat.fish

# What is installed works from there, and can be taken away.
install-check:
	.ci/install $(TEST_PACKAGES)
	rm -rf $(TARGET)/installed
	$(MAKE) install DESTDIR=$(TARGET)/installed PREFIX=/usr
	.ci/check-install $(TARGET)/installed/usr
	$(MAKE) uninstall DESTDIR=$(TARGET)/installed PREFIX=/usr
	test -z "$$(find $(TARGET)/installed -type f)"

# The bench calls its floor, which is a program beside it.
bench: build
	.ci/install busybox-static
	$(CARGO) build $(CARGO_FLAGS) --release -p benches
	$(TARGET)/release/benches startup --bareboat $(RUNTIME)

bench-all: build
	.ci/install busybox-static
	$(CARGO) build $(CARGO_FLAGS) --release -p benches
	mkdir -p $(TARGET)/bench
	$(TARGET)/release/benches all --bareboat $(RUNTIME) --json $(TARGET)/bench/all.json --svg $(TARGET)/bench/all.svg
	$(TARGET)/release/benches table $(TARGET)/bench/all.json

bench-library:
	.ci/install $(TOOLS)
	$(CARGO) bench $(CARGO_FLAGS) -p benches --bench library

# In a directory of its own, as it is built with its symbols.
functions:
	.ci/install busybox-static
	CARGO_PROFILE_RELEASE_STRIP=none $(CARGO) build $(CARGO_FLAGS) --target-dir $(TARGET)/unstripped --release -p runtime-cli -p benches
	$(TARGET)/unstripped/release/benches functions $(TARGET)/unstripped/release/bareboat >$(TARGET)/functions
	mv $(TARGET)/functions runtime-cli/functions

clean:
	$(CARGO) clean
