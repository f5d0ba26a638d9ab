# The ground under every benchmark: options, processes that end with it, and a few numbers. To be
# sourced, from the project's folder.

readonly program=bench deps=bench-deps
. scripts/servers.sh

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

# --- What is started is stopped ----------------------------------------------------------------

as_child=(setpriv --pdeathsig TERM)
running=()

# Notes a process of ours and the signal that stops it. At the exit the youngest is stopped first.
started() {
  running=("$1:$2" "${running[@]}")
}

# Stops a process that was noted, with SIGKILL where its signal does not help.
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

# PostgreSQL's user has to get at its own folder in the benchmark's.
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
