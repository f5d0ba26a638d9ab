#!/usr/bin/env bash
# Builds a library of this crate in the target folder that all builds share, and copies it to FOLDER,
# since cargo gives the C library and the Lua module the same file name.
# build-library.sh TARGET_FOLDER FOLDER CARGO_ARGUMENT…
#
# cargo keeps one library of that name. To build the two in turn would compile the crate each time, so
# this script runs cargo only when something has changed: a source file, an argument, the compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly target=$1 folder=$2
shift 2
readonly arguments=("$@") name=libresty_session_postgres

# Everything besides the source files that the library depends on.
settings() {
  printf '%s\n' "${arguments[@]}"
  rustc --version --verbose
  env | grep -E '^(RUSTFLAGS|CARGO_(BUILD|ENCODED|PROFILE)_.*|OPENSSL_.*)=' | sort || :
}

# The source files that cargo has written down, and the files that it leaves out. cargo escapes a
# space with a backslash, as read does.
sources() {
  local files
  read -a files <"$target/release/$name.d"
  printf '%s\n' Cargo.toml Cargo.lock build.rs vendor/*/Cargo.toml "${files[@]:1}"
}

is_current() {
  local file
  [ -e "$folder/sources" ] && [ -e "$folder/$name.so" ] || return 1
  [ "$(<"$folder/settings")" = "$(settings)" ] || return 1
  while IFS= read -r file; do
    [ -e "$file" ] && [ ! "$file" -nt "$folder/started" ] || return 1
  done <"$folder/sources"
}

mkdir -p "$folder"
# From here to the copy nothing else may build a library.
exec {lock}>"$folder/../lock"
flock "$lock"
! is_current || exit 0

rm -f "$folder/sources" "$target/release/$name".{so,a}
# A file that is changed while cargo runs is newer than this one.
touch "$folder/started"
"${CARGO:-cargo}" rustc --lib --release --locked --target-dir "$target" "${arguments[@]}"
for file in "$target/release/$name".{so,a}; do
  [ ! -e "$file" ] || cp "$file" "$folder"
done
settings >"$folder/settings"
sources >"$folder/sources"
