#!/usr/bin/env bash
# Installs the system packages that this machine lacks for a purpose, and checks that Rust is installed.
#   deps.sh demo|bench|test [ARTIFACT]   ARTIFACT: what is built afterwards; it takes time if it is missing
#   deps.sh install PACKAGE…             the part that needs root
#   deps.sh unpack PACKAGE…              the part of `install` that must not be interrupted
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly build=(ca-certificates build-essential pkg-config libssl-dev)
readonly servers=(postgresql nginx-light libnginx-mod-http-lua curl)
# luajit looks for lua-resty-session; the pages store JSON.
readonly demo=("${build[@]}" "${servers[@]}" luajit2 lua-cjson)
readonly bench=("${build[@]}" "${servers[@]}" wrk)
readonly test=(
  "${demo[@]}" pgbouncer
  chromium chromium-driver                               # browsers that visit the demo
  prometheus                                             # its promtool checks the metrics
  valgrind                                               # the C tests run under it
  python3                                                # an example is in Python
  mount                                                  # a file system that a test fills up
  luarocks liblua5.1-0-dev debhelper dpkg-dev lua-ldoc   # packages and documentation
  lua5.1 lua5.4 lua-check                                # other Luas, and luacheck
)

readonly policy=/usr/sbin/policy-rc.d

missing_of() {
  local package status
  for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=none
    [ "$status" = installed ] || echo "$package"
  done
}

# Debian starts a server when it is installed. Nothing here needs that, so a policy forbids it during
# the installation, unless the machine has a policy already.
unpack_packages() {
  if (set -o noclobber && printf '#!/bin/sh\nexit 101\n' >"$policy") 2>/dev/null; then
    trap 'rm -f "$policy"' EXIT
    chmod 755 "$policy"
  fi
  apt_install "$@"
}

# A package that would remove another one is for the developer to decide about.
apt_install() {
  apt-get install -y -qq --no-install-recommends --no-remove "$@"
}

# Ctrl-C ends the download at once. Then dpkg runs in a separate session, which Ctrl-C does not reach: a
# half-installed package would have to be repaired by hand.
install_packages() {
  local log unpacking
  export DEBIAN_FRONTEND=noninteractive
  # dpkg may still work for an earlier call that was interrupted. It has inherited the lock.
  exec {lock}</var/cache/apt
  flock --nonblock "$lock" || { echo "deps: waiting for an earlier installation" && flock "$lock"; }
  apt-get update -qq
  apt_install --download-only "$@"
  log=$(mktemp)
  setsid scripts/deps.sh unpack "$@" </dev/null >"$log" 2>&1 &
  unpacking=$!
  trap 'rm "$log"; echo "deps: dpkg completes the installation in the background" >&2; exit 130' INT TERM HUP
  wait "$unpacking" || { cat "$log" >&2; rm "$log"; exit 1; }
  rm "$log"
}

# announce PURPOSE ARTIFACT PACKAGE…
# The times were measured on two cores, with an empty Debian 12 and a fast network.
announce() {
  local purpose=$1 artifact=$2 minutes=1
  shift 2
  [ "$purpose" != test ] || minutes=3
  [ $# -eq 0 ] ||
    echo "$purpose: installs these Debian packages and those they need (about $minutes min): $*"
  [ -z "$artifact" ] || [ -e "$artifact" ] ||
    echo "$purpose: then builds the Lua module (about 1 min on two cores). Ctrl-C stops it."
}

ensure_packages() {
  local purpose=$1 artifact=$2 missing
  shift 2
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: not a Debian system; please install the equivalents of: $*" >&2
    return
  fi
  mapfile -t missing < <(missing_of "$@")
  announce "$purpose" "$artifact" "${missing[@]}"
  [ ${#missing[@]} -gt 0 ] || return 0

  if [ "$(id -u)" -eq 0 ]; then
    scripts/deps.sh install "${missing[@]}"
  elif command -v sudo >/dev/null; then
    sudo scripts/deps.sh install "${missing[@]}"
  else
    echo "deps: this needs root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  if [ -d /run/systemd/system ]; then
    echo "deps: the servers among these do not run now, but Debian will start them at the next boot."
    echo "      To prevent that: systemctl disable postgresql pgbouncer nginx"
  fi
}

ensure_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
  found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || found=
  if [ -z "$found" ] || ! command -v cargo >/dev/null; then
    echo "deps: Rust $wanted or newer is needed, and is not installed. See https://rustup.rs" >&2
    exit 1
  fi
  if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "deps: Rust $wanted or newer is needed, and this is $found. With rustup: rustup update" >&2
    exit 1
  fi
}

purpose=$1
shift
case $purpose in
  install) install_packages "$@" ;;
  unpack) unpack_packages "$@" ;;
  demo | bench | test)
    # Before the packages, which take longer.
    ensure_rust
    declare -n packages=$purpose
    ensure_packages "$purpose" "${1:-}" "${packages[@]}"
    ;;
  *)
    echo "usage: deps.sh demo|bench|test [ARTIFACT]" >&2
    exit 2
    ;;
esac
