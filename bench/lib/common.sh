# The ground under every benchmark: the programs it needs, a temporary folder, processes that end
# with it, and a few numbers. To be sourced, from the project's folder.

readonly stage=${RSP_STAGE:-target/stage/usr/local}
umask 077

fail() {
  echo "bench: $*" >&2
  exit 1
}

# --- Options -----------------------------------------------------------------------------------

# Options come from the environment; a wrong one is better told now than in ten minutes.
check_numbers() {
  local option word
  for option in "$@"; do
    [ -n "${!option}" ] || fail "$option is empty"
    for word in ${!option}; do
      [[ $word =~ ^[1-9][0-9]*$ ]] || fail "$option: expected whole numbers, got $word"
    done
  done
}

# --- Programs ----------------------------------------------------------------------------------

find_tools() {
  PATH=$PATH:/usr/sbin:/usr/local/openresty/bin
  local bindir=${PG_BINDIR:-}
  if [ -z "$bindir" ]; then
    bindir=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    bindir=${bindir%/initdb}
  fi
  # In front: Debian's wrapper of the same name would look for a cluster of the system's.
  PATH=${bindir:+$bindir:}$PATH

  local tool
  for tool in initdb postgres psql pgbench setpriv "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is missing; make bench-deps installs it"
  done
}

# --- What is started is stopped ----------------------------------------------------------------

as_child=(setpriv --pdeathsig TERM)
running=()

is_alive() {
  kill -0 "$1" 2>/dev/null
}

# Notes a process of ours and the signal that stops it. At the exit the youngest is stopped first.
started() {
  running=("$1:$2" "${running[@]}")
}

# Stops a process that was noted, with SIGKILL where its signal does not help.
stop() {
  local process others=() signal="" i
  for process in "${running[@]}"; do
    if [ "${process%:*}" = "$1" ]; then
      signal=${process#*:}
    else
      others+=("$process")
    fi
  done
  running=("${others[@]}")
  [ -n "$signal" ] || return 0
  kill -s "$signal" "$1" 2>/dev/null || :
  for ((i = 0; i < 100; i++)); do
    is_alive "$1" || break
    sleep 0.05
  done
  ! is_alive "$1" || kill -KILL "$1" 2>/dev/null || :
  wait "$1" 2>/dev/null || :
}

clean_up() {
  trap '' INT TERM HUP
  while [ ${#running[@]} -gt 0 ]; do
    stop "${running[0]%:*}"
  done
  exec {folder_users}>&-
  wait "$sweeper_pid" || :
}

# The folder is for all that a benchmark writes. The sweeper reads a pipe that this script and what
# it starts hold open; it ends when the last of them is gone, even by SIGKILL, and so the folder
# goes.
make_folder() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/rsp-bench.XXXXXX")
  exec {folder_users}> >(trap '' INT TERM HUP && cat >/dev/null && rm -rf "$work")
  sweeper_pid=$!
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  # PostgreSQL's user has to get at its own folder in here.
  chmod 711 "$work"
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

# --- Numbers -----------------------------------------------------------------------------------

# Evaluates an expression of awk's: calculate '%.2f' "1 / 3"
calculate() {
  awk "BEGIN { printf \"$1\", $2 }"
}

# How often the second number is in the first; "-" where one of the two is missing.
ratio() {
  if [[ $1 && $2 ]]; then
    calculate '%.2f' "$1 / $2"
  else
    echo -
  fi
}

# The numbers of the rounds are collected by name, and their median is what counts.
forget_numbers() {
  rm -rf "$work/numbers"
  mkdir "$work/numbers"
}

# note NAME NUMBER
note() {
  echo "$2" >>"$work/numbers/$1"
}

# The median of a name's numbers; nothing where there is none.
median() {
  [ -e "$work/numbers/$1" ] || return 0
  sort -g "$work/numbers/$1" | awk '
    { n[NR] = $1 }
    END { print NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2 }'
}

describe_machine() {
  local model
  model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
  echo "machine:  $(nproc) cores of ${model:-an unknown model}," \
    "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB," \
    "Linux $(uname -r), load before the run $(cut -d ' ' -f 1 /proc/loadavg)"
}

describe_project() {
  local commit
  commit=$(git describe --always --dirty 2>/dev/null) || commit="of an unknown commit"
  echo "ours:     resty-session-postgres $(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)," \
    "$commit"
}
