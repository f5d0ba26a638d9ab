# Functions for every benchmark: options, processes that are stopped at its exit, medians. To be sourced
# from the project's folder.

readonly program=bench deps=bench-deps
. scripts/servers.sh

# --- Options -----------------------------------------------------------------------------------

# Options come from the environment. Checks them before the run, which may take minutes.
check_numbers() {
  local option word
  for option in "$@"; do
    [ -n "${!option}" ] || fail "$option is empty"
    for word in ${!option}; do
      [[ $word =~ ^[1-9][0-9]*$ ]] || fail "$option: expected whole numbers, got $word"
    done
  done
}

# --- Processes ---------------------------------------------------------------------------------

as_child=(setpriv --pdeathsig TERM)
running=()

# Registers a process and the signal that stops it. At the exit the newest is stopped first.
started() {
  running=("$1:$2" "${running[@]}")
}

# Stops a registered process, with SIGKILL if its signal does not stop it.
stop() {
  local process others=() signal=""
  for process in "${running[@]}"; do
    if [ "${process%:*}" = "$1" ]; then
      signal=${process#*:}
    else
      others+=("$process")
    fi
  done
  running=("${others[@]}")
  [ -n "$signal" ] || return 0
  end "$signal" "$1"
  wait "$1" 2>/dev/null || :
}

clean_up() {
  trap '' INT TERM HUP
  while [ ${#running[@]} -gt 0 ]; do
    stop "${running[0]%:*}"
  done
  leave_folder
}

find_tools() {
  find_programs pgbench "$@"
}

# PostgreSQL's user needs access to its folder in the benchmark's folder.
make_folder() {
  new_folder
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  chmod 711 "$work"
}

# --- Numbers -----------------------------------------------------------------------------------

# Evaluates an expression of awk's: calculate '%.2f' "1 / 3"
calculate() {
  awk "BEGIN { printf \"$1\", $2 }"
}

# The first number divided by the second; "-" if one of them is missing.
ratio() {
  if [[ $1 && $2 ]]; then
    calculate '%.2f' "$1 / $2"
  else
    echo -
  fi
}

# The numbers of the rounds are collected by name; their medians are the results.
forget_numbers() {
  rm -rf "$work/numbers"
  mkdir "$work/numbers"
}

# note NAME NUMBER
note() {
  echo "$2" >>"$work/numbers/$1"
}

# The median of a name's numbers; nothing if there are none.
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
