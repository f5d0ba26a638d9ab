# Builds, tests and installs resty-session-postgres. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# rustup adds this folder to PATH in login shells only.
export PATH := $(PATH):$(HOME)/.cargo/bin

export CARGO ?= cargo
DESTDIR ?=
# Not /usr/local: LuaRocks installs there by default, and lua-resty-session has a file of the same name.
PREFIX ?= /opt/sessions
LIB_DIR ?= $(PREFIX)/lib
INCLUDE_DIR ?= $(PREFIX)/include
BIN_DIR ?= $(PREFIX)/bin
DATA_DIR ?= $(PREFIX)/share
ZSH_DIR ?= $(DATA_DIR)/zsh/site-functions
SHARE_DIR ?= $(PREFIX)/share/resty-session-postgres
# lua is LuaJIT; also lua51 and lua54.
LUA_FEATURE ?= lua
LUA_VERSION = $(if $(filter lua54,$(LUA_FEATURE)),5.4,5.1)
LUA_LIB_DIR ?= $(PREFIX)/share/lua/$(LUA_VERSION)
LUA_CLIB_DIR ?= $(PREFIX)/lib/lua/$(LUA_VERSION)

TARGET ?= target
# More features of the crate for all three artifacts, such as `vendored`.
FEATURES ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# The number in the C library's soname, as build.rs computes it. It changes when C programs have to be
# compiled again. While the version's first number is 0, a new second number is such a change (0.2); from
# 1.0 on only a new first number is (1). A Debian package has this number in its name (debian/control).
SO_VERSION := $(shell sed -nE 's/^version = "(0\.[0-9]+|[0-9]+)\..*/\1/p' Cargo.toml)

# The C library, the Lua module and the command are one crate with different features. They are built in
# one target folder, where the two libraries share their compiled dependencies.
ARTIFACTS := $(TARGET)/artifacts
LIBRARY := libresty_session_postgres.so

C_LIBRARY := $(ARTIFACTS)/c/$(LIBRARY)
STATIC_LIBRARY := $(C_LIBRARY:.so=.a)
BUILD_C_LIBRARY = scripts/build-library.sh $(TARGET) $(ARTIFACTS)/c --features '$(FEATURES)' \
	--crate-type cdylib,staticlib
PC_FILE := resty-session-postgres.pc

# Each Lua has a folder, so that one's module is never installed as another's.
LUA_MODULE := $(ARTIFACTS)/$(LUA_FEATURE)/$(LIBRARY)
BUILD_LUA_MODULE = scripts/build-library.sh $(TARGET) $(ARTIFACTS)/$(LUA_FEATURE) \
	--features '$(LUA_FEATURE) $(FEATURES)' --crate-type cdylib

CLI := $(TARGET)/release/resty-session-postgres
BUILD_CLI = $(CARGO) build --release --locked --target-dir $(TARGET) --features 'cli $(FEATURES)' \
	--bin resty-session-postgres
# Its man pages and completions, in folders as PREFIX/share has them.
CLI_SHARE := $(ARTIFACTS)/cli

# lua-resty-session has a file of the same name, which must not be overwritten or removed.
LUA_ENTRY := resty/session/postgres.lua
LUA_ENTRY_IS_FOREIGN = [ -e '$(DESTDIR)$(LUA_LIB_DIR)/$(LUA_ENTRY)' ] && \
	! grep -q resty_session_postgres '$(DESTDIR)$(LUA_LIB_DIR)/$(LUA_ENTRY)'
LUA_FILES = $(notdir $(wildcard lua/resty/session/postgres/*.lua))
HEADERS = $(notdir $(wildcard include/*.h include/*.cdef))
SCHEMAS = $(notdir $(wildcard sql/*.sql))

# Where `build` installs to, so that the tests and the demo run what a user would install.
STAGE := DESTDIR=$(TARGET)/stage TARGET=$(TARGET) PREFIX=/usr/local LIB_DIR=/usr/local/lib \
	INCLUDE_DIR=/usr/local/include BIN_DIR=/usr/local/bin DATA_DIR=/usr/local/share \
	ZSH_DIR=/usr/local/share/zsh/site-functions \
	SHARE_DIR=/usr/local/share/resty-session-postgres \
	LUA_LIB_DIR=/usr/local/share/lua/$(LUA_VERSION) LUA_CLIB_DIR=/usr/local/lib/lua/$(LUA_VERSION)

STYLUA_VERSION := 2.6.0
STYLUA := target/tools/stylua-$(STYLUA_VERSION)/bin/stylua
LUA_SOURCES = $(wildcard lua src tests examples bench)

# The Lua features exclude each other; each goes with the C interface and without it.
FEATURE_SETS := none capi lua capi,lua capi,cli lua51 lua54

# The nginx that the tests run, OpenResty's for example; Debian's if empty. The variable NGINX of the
# environment is nginx's own: it lists the sockets that a new master takes over.
NGINX ?= $(RSP_NGINX)
export RSP_NGINX := $(NGINX)
unexport NGINX

.PHONY: demo demo-deps demo-build test soak help deps build build-c build-lua build-cli build-rock install \
	install-cli install-c install-lua install-sql uninstall dist deb docs test-matrix test-long \
	test-vendored test-migration deny lint fmt races fuzz generate bench bench-deps clean

demo: demo-deps demo-build ## Run the demo until Ctrl-C; with CHECK=1, walk through it and stop
	@CHECK='$(CHECK)' scripts/demo.sh

demo-deps:
	@scripts/deps.sh demo $(LUA_MODULE)

# The demo and `make bench` use only the Lua module and the tables.
demo-build: build-lua
	@$(MAKE) --silent install-lua install-sql $(STAGE)

test: deps build lint ## Run everything that a change must pass
	@scripts/in-own-tmpdir.sh $(CARGO) test --locked

test-matrix: deps build ## Run the tests on the installed PostgreSQL, and on the newest (needs npm)
	scripts/in-own-tmpdir.sh $(CARGO) test --locked
	scripts/in-own-tmpdir.sh scripts/newest-postgres.sh $(CARGO) test --locked --test tests

test-long: deps build ## Run the tests under load for a minute each
	RSP_LONG=1 scripts/in-own-tmpdir.sh $(CARGO) test --locked --test tests -- \
		pgbouncer:: --nocapture --test-threads 1

# This compiles OpenSSL, which takes minutes.
test-vendored: deps ## Build with OpenSSL linked statically, and run the tests that concern TLS and linking
	@$(MAKE) build TARGET=target/vendored FEATURES=vendored
	RSP_STAGE='$(CURDIR)/target/vendored/stage/usr/local' scripts/in-own-tmpdir.sh $(CARGO) test \
		--locked --target-dir target/vendored --features vendored -- tls:: symbols:: nginx::leaving

MINUTES ?= 20
soak: build ## Run load, reloads and faults together for MINUTES (20), and print figures
	@RSP_SOAK_MINUTES='$(MINUTES)' scripts/in-own-tmpdir.sh $(CARGO) test --locked --test faults \
		soak -- --nocapture

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install the system packages that the tests need, and check that Rust is installed
	@scripts/deps.sh test

build: build-c build-lua build-cli ## Build the C library, the Lua module and the command, and stage them in target/stage
	@$(MAKE) --silent install $(STAGE)

build-c:
	@$(BUILD_C_LIBRARY)

build-lua:
	@$(BUILD_LUA_MODULE)

build-cli:
	$(BUILD_CLI)
	@rm -rf $(CLI_SHARE) && $(CLI) generate $(CLI_SHARE)

# LuaRocks sets CC, which would make cargo compile everything again.
build-rock:
	@env -u CC $(BUILD_LUA_MODULE)

# These have no prerequisites: `sudo make install` after `make build` must not compile anything as root.
$(C_LIBRARY) $(STATIC_LIBRARY) &:
	@$(BUILD_C_LIBRARY)

$(LUA_MODULE):
	@$(BUILD_LUA_MODULE)

$(CLI):
	$(BUILD_CLI)

$(CLI_SHARE): $(CLI)
	@$(CLI) generate $(CLI_SHARE)

install: install-lua install-c install-sql install-cli ## Install what was built (DESTDIR, PREFIX, LUA_LIB_DIR, LUA_CLIB_DIR)

install-cli: $(CLI) $(CLI_SHARE)
	install -D -m 755 $(CLI) '$(DESTDIR)$(BIN_DIR)/resty-session-postgres'
	install -D -m 644 -t '$(DESTDIR)$(DATA_DIR)/man/man1' $(CLI_SHARE)/man/man1/*
	install -D -m 644 -t '$(DESTDIR)$(DATA_DIR)/bash-completion/completions' $(CLI_SHARE)/bash-completion/completions/*
	install -D -m 644 -t '$(DESTDIR)$(ZSH_DIR)' $(CLI_SHARE)/zsh/site-functions/*
	install -D -m 644 -t '$(DESTDIR)$(DATA_DIR)/fish/vendor_completions.d' $(CLI_SHARE)/fish/vendor_completions.d/*

install-lua: $(LUA_MODULE) ## Install the Lua module and its Lua files only
	@if $(LUA_ENTRY_IS_FOREIGN); then \
		echo "install: $(LUA_LIB_DIR)/$(LUA_ENTRY) belongs to lua-resty-session. Install to a folder that" >&2; \
		echo "precedes it in lua_package_path, for example: make install PREFIX=/opt/sessions" >&2; \
		exit 1; \
	fi
	scripts/install-lua.sh $(LUA_MODULE) $(VERSION) '$(DESTDIR)$(LUA_LIB_DIR)' '$(DESTDIR)$(LUA_CLIB_DIR)'

# rustc leaves the debug information of Rust's own library in the archive.
install-c: $(C_LIBRARY) $(STATIC_LIBRARY) ## Install the C library, its header and its pkg-config file only
	install -D -m 755 $(C_LIBRARY) '$(DESTDIR)$(LIB_DIR)/$(LIBRARY).$(VERSION)'
	ln -sf $(LIBRARY).$(VERSION) '$(DESTDIR)$(LIB_DIR)/$(LIBRARY).$(SO_VERSION)'
	ln -sf $(LIBRARY).$(SO_VERSION) '$(DESTDIR)$(LIB_DIR)/$(LIBRARY)'
	install -D -m 644 -t '$(DESTDIR)$(LIB_DIR)' $(STATIC_LIBRARY)
	strip --strip-debug '$(DESTDIR)$(LIB_DIR)/$(notdir $(STATIC_LIBRARY))'
	install -D -m 644 -t '$(DESTDIR)$(INCLUDE_DIR)' include/*.h include/*.cdef
	install -d '$(DESTDIR)$(LIB_DIR)/pkgconfig'
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' \
		-e 's|@LIB_DIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIB_DIR))|' \
		-e 's|@INCLUDE_DIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDE_DIR))|' \
		include/$(PC_FILE).in >'$(DESTDIR)$(LIB_DIR)/pkgconfig/$(PC_FILE)'
	chmod 644 '$(DESTDIR)$(LIB_DIR)/pkgconfig/$(PC_FILE)'

install-sql:
	install -D -m 644 -t '$(DESTDIR)$(SHARE_DIR)' sql/*.sql

uninstall: ## Remove the files that `install` has installed (same variables)
	rm -f '$(DESTDIR)$(LUA_CLIB_DIR)'/{,*-}resty_session_postgres.so
	{ $(LUA_ENTRY_IS_FOREIGN); } || rm -f '$(DESTDIR)$(LUA_LIB_DIR)/$(LUA_ENTRY)'
	rm -f $(foreach file,$(LUA_FILES),'$(DESTDIR)$(LUA_LIB_DIR)/resty/session/postgres/$(file)')
	rm -f '$(DESTDIR)$(LIB_DIR)/$(LIBRARY)' '$(DESTDIR)$(LIB_DIR)/$(LIBRARY).$(SO_VERSION)'
	rm -f '$(DESTDIR)$(LIB_DIR)/$(LIBRARY).$(VERSION)'
	rm -f '$(DESTDIR)$(LIB_DIR)/$(notdir $(STATIC_LIBRARY))' '$(DESTDIR)$(LIB_DIR)/pkgconfig/$(PC_FILE)'
	rm -f $(foreach file,$(HEADERS),'$(DESTDIR)$(INCLUDE_DIR)/$(file)')
	rm -f $(foreach file,$(SCHEMAS),'$(DESTDIR)$(SHARE_DIR)/$(file)')
	rm -f '$(DESTDIR)$(BIN_DIR)/resty-session-postgres'
	rm -f '$(DESTDIR)$(DATA_DIR)'/man/man1/resty-session-postgres{,-*}.1 '$(DESTDIR)$(ZSH_DIR)/_resty-session-postgres'
	rm -f '$(DESTDIR)$(DATA_DIR)/bash-completion/completions/resty-session-postgres.bash'
	rm -f '$(DESTDIR)$(DATA_DIR)/fish/vendor_completions.d/resty-session-postgres.fish'
	rmdir '$(DESTDIR)$(SHARE_DIR)' '$(DESTDIR)$(LUA_LIB_DIR)/resty/session/postgres' 2>/dev/null || true

NAME := resty-session-postgres-$(VERSION)
ARCHIVE := target/dist/$(NAME).tar.gz
# The committed files; in an unpacked archive, all files.
dist: ## Make the source archive, in target/dist
	@mkdir -p $(dir $(ARCHIVE))
	@if [ -e .git ]; then \
		git archive --format=tar --prefix=$(NAME)/ HEAD; \
	else \
		tar --create --exclude=./target --transform='s|^[.]|$(NAME)|' .; \
	fi | gzip --no-name >$(ARCHIVE)
	@echo $(ARCHIVE)

# debhelper runs commands with another HOME, where there is no Rust.
deb: export CARGO_HOME ?= $(HOME)/.cargo
deb: export RUSTUP_HOME ?= $(HOME)/.rustup
deb: export DEB_DIR := target/deb
deb: ## Make the Debian packages, in target/deb
	@rm -rf $(DEB_DIR) && mkdir -p $(DEB_DIR)
	@debian/rules binary && debian/rules clean
	@ls $(DEB_DIR)/*.deb

bench: bench-deps demo-build ## Measure, beside pgbench and, with BASELINE_LUA_PATH, another storage (bench/README.md)
	@bench/run.sh

bench-deps: ## Install the system packages that the benchmarks need
	@scripts/deps.sh bench $(LUA_MODULE)

LDOC = ldoc --quiet --fatalwarnings --config docs/config.ld --dir target/docs/lua \
	lua/resty/session/postgres.lua
docs: ## Make the reference of the Lua and the Rust interface, in target/docs
	@mkdir -p target/docs
	$(LDOC)
	$(CARGO) rustdoc --quiet --locked --lib --features lua --target-dir target/docs -- -D warnings

# lua-resty-session is found by BASELINE_LUA_PATH and BASELINE_LUA_CPATH (see bench/README.md).
test-migration: build ## Carry out docs/migrate.md with the real lua-resty-session, under load
	@scripts/in-own-tmpdir.sh $(CARGO) test --locked --test migration -- --nocapture

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := target/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
DENY ?= licenses bans sources
# The list of known vulnerabilities is downloaded each time, so it is not part of the tests: DENY=advisories.
deny: $(CARGO_DENY) ## Check licences, sources and duplicates of the dependencies
	$(CARGO_DENY) --all-features check $(DENY)

$(CARGO_DENY):
	$(CARGO) install cargo-deny --version '=$(CARGO_DENY_VERSION)' --locked --quiet --force \
		--root target/tools/cargo-deny-$(CARGO_DENY_VERSION)

lint: $(STYLUA) ## Check formatting, Clippy on every feature set, the docs, and the Lua files
	$(CARGO) fmt --check
	@for set in $(FEATURE_SETS); do \
		echo "clippy, features: $$set"; \
		$(CARGO) clippy --quiet --locked --all-targets --no-default-features \
			--features "$${set#none}" -- -D warnings; \
	done
	$(CARGO) rustdoc --quiet --locked --lib --features lua -- -D warnings
	$(CARGO) clippy --quiet --locked --test migration -- -D warnings
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz \
		-- -D warnings
	$(LDOC) >/dev/null
	luacheck --quiet --no-color $(LUA_SOURCES)
	$(STYLUA) --check $(LUA_SOURCES)

fmt: $(STYLUA) ## Format the Rust and the Lua files
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	$(STYLUA) $(LUA_SOURCES)

HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# The sanitizer must see the locks of Rust's standard library, so that library is compiled with it. Both
# options are unstable; with RUSTC_BOOTSTRAP the stable compiler accepts them.
RACES = RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=thread' \
	TSAN_OPTIONS='suppressions=$(CURDIR)/tests/races.supp exitcode=66' scripts/in-own-tmpdir.sh \
	$(CARGO) test --locked -Zbuild-std --target $(HOST) --target-dir target/races
# The sanitizer has its own allocator, and makes SCRAM too slow for the second test's deadlines.
RACES_SKIP := --skip memory_is_the_systems --skip a_role_that_loses_its_rights
races: build ## Look for data races in the engine with the thread sanitizer (needs rustup)
	rustup component add rust-src
	$(RACES) --lib -- $(RACES_SKIP)
	$(RACES) --test faults -- database network refusals $(RACES_SKIP) --test-threads 1 --nocapture

FUZZ_SECONDS ?= 45
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := target/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
# The address sanitizer is an unstable option; with RUSTC_BOOTSTRAP the stable compiler accepts it.
fuzz: $(CARGO_FUZZ) ## Fuzz the C interface, FUZZ_SECONDS (45) for each target
	@for target in $$($(CARGO_FUZZ) list); do \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
		RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run --target-dir target/fuzz "$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -print_funcs=0 -print_final_stats=1; \
	done

$(CARGO_FUZZ):
	$(CARGO) install cargo-fuzz --version '=$(CARGO_FUZZ_VERSION)' --locked --quiet --force \
		--root target/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)

generate: ## Generate the C header and the tables of the documentation
	RSP_GENERATE=1 $(CARGO) test --locked --test tests generated::

$(STYLUA):
	$(CARGO) install stylua --version '=$(STYLUA_VERSION)' --locked --quiet --force \
		--no-default-features --features luajit --root target/tools/stylua-$(STYLUA_VERSION)

clean: ## Remove everything that was built
	rm -rf target
