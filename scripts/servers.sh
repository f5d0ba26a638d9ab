# What the demo and the benchmarks share: the programs that they need, a temporary folder that is
# removed however they end, and a few words about processes. To be sourced, from the project's folder;
# whoever does has a function clean_up, and sets program, for messages.

readonly stage=${RSP_STAGE:-target/stage/usr/local}
umask 077

fail() {
  echo "$program: $*" >&2
  exit 1
}

# --- Programs ----------------------------------------------------------------------------------

# Where PostgreSQL's and nginx's programs are, and that those named are there: find_programs NAME…
find_programs() {
  local program_name bindir=${PG_BINDIR:-}
  if [ -z "$bindir" ]; then
    bindir=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1) || :
    bindir=${bindir%/initdb}
  fi
  # In front: Debian's wrapper of the same name would look for a cluster of the system's.
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
  [ -e "$stage/lib/lua/5.1/resty_session_postgres.so" ] || fail "nothing is built yet; make build"
}

# --- The folder --------------------------------------------------------------------------------

# The folder is for all that is written. The sweeper reads a pipe that this script and its servers
# hold open; it ends when the last of them is gone, even by SIGKILL, and so the folder goes.
new_folder() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/rsp-$program.XXXXXX")
  exec {folder_users}> >(trap '' INT TERM HUP && cat >/dev/null && rm -rf "$work")
  sweeper_pid=$!
  trap clean_up EXIT
}

# The end of clean_up.
leave_folder() {
  exec {folder_users}>&-
  wait "$sweeper_pid" || :
}

# --- Processes ---------------------------------------------------------------------------------

is_alive() {
  kill -0 "$1" 2>/dev/null
}

# Sends a signal, waits, and sends SIGKILL where that does not help: end SIGNAL PID
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
