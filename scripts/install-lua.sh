#!/usr/bin/env bash
# Installs the Lua module and its Lua files, so that a running nginx can be reloaded at any moment.
# install-lua.sh MODULE VERSION LUA_LIB_DIR LUA_CLIB_DIR
#
# dlopen returns what the process has loaded under a name, also when the file is another one by now. So
# each build has a file name of its own, which native.lua contains. Lua takes what is before the first
# hyphen for no part of the module's name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly module=$1 version=$2 lua=$3 clib=$4
readonly name=resty_session_postgres native=resty/session/postgres/native.lua

build=$(sha256sum "$module")
readonly file=${version//./_}_${build:0:12}-$name

# What runs goes on finding the build that was installed before this one.
before=
if [ -e "$lua/$native" ]; then
  before=$(sed -n 's/^local NATIVE = "\(.*\)"$/\1/p' "$lua/$native")
fi

# Writes stdin to a file that is either not there or whole.
put() {
  cat >"$2.new"
  chmod "$1" "$2.new"
  mv "$2.new" "$2"
}

# nginx's workers must be able to read the folders, whatever root's umask is.
umask 022
mkdir -p "$clib" "$lua/${native%/*}"
put 755 "$clib/$file.so" <"$module"
# LuaRocks moves files one by one, and would find a symbolic link without its target.
ln -f "$clib/$file.so" "$clib/$name.so.new"
mv "$clib/$name.so.new" "$clib/$name.so"
sed "s/^local NATIVE = .*/local NATIVE = \"$file\"/" "lua/$native" | put 644 "$lua/$native"
put 644 "$lua/resty/session/postgres.lua" <lua/resty/session/postgres.lua

for old in "$clib"/*-"$name.so"; do
  case ${old##*/} in
    "$file.so" | "$before.so") ;;
    *) rm "$old" ;;
  esac
done
