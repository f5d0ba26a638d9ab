# Functions for the demo and the benchmarks: finding programs, a temporary folder that is removed at
# every kind of exit, and processes. To be sourced from the project's folder by a script that defines a
# function clean_up and the variable program, for messages.

readonly stage=${RSP_STAGE:-target/stage/usr/local}
umask 077

fail() {
  echo "$program: $*" >&2
  exit 1
}

# --- Programs ----------------------------------------------------------------------------------

# Adds PostgreSQL's and nginx's programs to PATH, and fails if one is missing: find_programs NAME…
find_programs() {
  local program_name bindir=${PG_BINDIR:-}
  if [ -z "$bindir" ]; then
    bindir=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1) || :
    bindir=${bindir%/initdb}
  fi
  # First, because Debian's wrapper of the same name looks for a cluster of the system.
  PATH=${bindir:+$bindir:}$PATH:/usr/sbin:/usr/local/openresty/bin
  for program_name in initdb postgres psql setpriv "$@"; do
    command -v "$program_name" >/dev/null ||
      fail "$program_name is missing; make ${deps:-deps} installs it"
  done
}

# Sets nginx and load_modules. In OpenResty ngx_lua is built in, in Debian's nginx it is a module.
find_nginx() {
  local modules
  nginx=$(command -v openresty || command -v nginx) ||
    fail "nginx is missing; make ${deps:-deps} installs it"
  modules=$("$nginx" -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')
  load_modules=
  if [ -e "$modules/ngx_http_lua_module.so" ]; then
    load_modules="load_module $modules/ndk_http_module.so;"
    load_modules+=$'\n'"load_module $modules/ngx_http_lua_module.so;"
  fi
  [ -e "$stage/lib/lua/5.1/resty_session_postgres.so" ] || fail "the Lua module is not built; make build"
}

# --- The folder --------------------------------------------------------------------------------

# All files are written to this folder. The sweeper reads a pipe that this script and its servers hold
# open. The pipe closes when the last of them has exited, even by SIGKILL; then it removes the folder.
new_folder() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/rsp-$program.XXXXXX")
  exec {folder_users}> >(trap '' INT TERM HUP && cat >/dev/null && rm -rf "$work")
  sweeper_pid=$!
  trap clean_up EXIT
}

# The last step of clean_up.
leave_folder() {
  exec {folder_users}>&-
  wait "$sweeper_pid" || :
}

# --- Processes ---------------------------------------------------------------------------------

is_alive() {
  kill -0 "$1" 2>/dev/null
}

# Sends a signal, waits 5 s for the exit, then sends SIGKILL: end SIGNAL PID
end() {
  local i
  kill -s "$1" "$2" 2>/dev/null || return 0
  for ((i = 0; i < 100; i++)); do
    is_alive "$2" || return 0
    sleep 0.05
  done
  kill -KILL "$2" 2>/dev/null || :
}

# Waits until a command succeeds, while a process lives: wait_for PID COMMAND…
wait_for() {
  local pid=$1 i
  shift
  for ((i = 0; i < 300; i++)); do
    is_alive "$pid" || return 1
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.05
  done
  return 1
}

free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

random_word() {
  od -An -N 24 -tx1 /dev/urandom | tr -d ' \n'
}
