#!/usr/bin/env bash
# Installs the system packages that this machine lacks, and checks that Rust is there.
# `deps.sh install PACKAGE…` is the part that needs root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(
  ca-certificates build-essential pkg-config libssl-dev    # building
  postgresql pgbouncer nginx-light libnginx-mod-http-lua   # the servers of the tests and the demo
  chromium chromium-driver                                 # the browsers that visit the demo
  prometheus                                               # its promtool reads our metrics
  valgrind                                                 # the C tests run under it
  mount                                                    # a disk that a test fills up
  luarocks liblua5.1-0-dev debhelper dpkg-dev lua-ldoc     # packages and documentation
  luajit2 lua5.1 lua5.4 lua-cjson lua-check curl           # Lua hosts, the Lua linter, the demo's walk
)

# The benchmarks' load.
[ "${1:-}" != bench ] || packages+=(wrk)

readonly policy=/usr/sbin/policy-rc.d

missing_packages() {
  local package status
  for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=none
    [ "$status" = installed ] || echo "$package"
  done
}

# Debian starts a server as soon as it is installed. Nothing here wants that, so a policy says no
# for the time of the installation, unless the machine has a policy of its own.
install_packages() {
  if (set -o noclobber && printf '#!/bin/sh\nexit 101\n' >"$policy") 2>/dev/null; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # A package that would push out another one is for the developer to decide about.
  apt-get install -y -qq --no-install-recommends --no-remove "$@"
}

ensure_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: not a Debian system; please see to the equivalents of: ${packages[*]}" >&2
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0

  echo "deps: installing ${missing[*]}"
  if [ "$(id -u)" -eq 0 ]; then
    scripts/deps.sh install "${missing[@]}"
  elif command -v sudo >/dev/null; then
    sudo scripts/deps.sh install "${missing[@]}"
  else
    echo "deps: this needs root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  if [ -d /run/systemd/system ]; then
    echo "deps: what is a server among these does not run now, but Debian will start it at the next"
    echo "      boot. To prevent that: systemctl disable postgresql pgbouncer nginx"
  fi
}

ensure_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
  found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || found=
  if [ -z "$found" ] || ! command -v cargo >/dev/null; then
    echo "deps: Rust $wanted or newer is needed, and there is none. See https://rustup.rs" >&2
    exit 1
  fi
  if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "deps: Rust $wanted or newer is needed, and this is $found. With rustup: rustup update" >&2
    exit 1
  fi
}

if [ "${1:-}" = install ]; then
  shift
  install_packages "$@"
else
  ensure_packages
  ensure_rust
fi
