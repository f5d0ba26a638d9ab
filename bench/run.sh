#!/usr/bin/env bash
# Measures requests through nginx to PostgreSQL, pgbench with the same statements and, with
# BASELINE_LUA_PATH, another storage in the same nginx. See bench/README.md for the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/nginx.sh

CONNECTIONS=${CONNECTIONS:-1 8 64 256}
SIZES=${SIZES:-512 8192}
ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-2}
POOL_SIZE=${POOL_SIZE:-16}
readonly rows=10000 visitors=200 clients=16

storages=(ours)
[ -z "${BASELINE_LUA_PATH:-}" ] || storages+=(baseline)

# The paths login and visit need resty.session on every storage's Lua path.
choose_paths() {
  local storage about all_have_session=true
  for storage in "${storages[@]}"; do
    about=$(ask "$storage" about)
    [[ $about != *"no resty.session"* ]] || all_have_session=false
  done
  if [ -z "${PATHS:-}" ]; then
    PATHS="get set mix"
    ! $all_have_session || PATHS+=" visit login"
  fi
  local path
  for path in $PATHS; do
    case $path in
      get | set | mix) ;;
      visit | login) $all_have_session || fail "$path needs resty.session on nginx's Lua path" ;;
      *) fail "PATHS: $path is none of get, set, mix, visit, login" ;;
    esac
  done
}

# pgbench cannot do what resty.session adds.
has_pgbench() {
  [[ $1 != visit && $1 != login ]]
}

start_all() {
  local storage
  for storage in "${storages[@]}"; do
    start_nginx "$storage" "$rows"
  done
}

stop_all() {
  local storage
  for storage in "${storages[@]}"; do
    stop_nginx "$storage"
  done
}

# --- One run -----------------------------------------------------------------------------------

# note_cpu WHO OF MILLISECONDS_BEFORE MILLISECONDS_AFTER, as seconds for 1,000 operations
note_cpu() {
  note "$1.$2" "$(calculate '%.6f' "($4 - $3) / $operations")"
}

# measure_storage STORAGE PATH CONNECTIONS
measure_storage() {
  local postgres_before nginx_before
  postgres_before=$(postgres_cpu)
  nginx_before=$(cpu_of_process "${worker_pid[$1]}")
  run_wrk "$1" "$2" "$3" "$DURATION"
  note_cpu "$1" nginx_cpu "$nginx_before" "$(cpu_of_process "${worker_pid[$1]}")"
  note_cpu "$1" postgres_cpu "$postgres_before" "$(postgres_cpu)"
  note "$1.connections" "$(connections_of "bench-$1")"
  note "$1.rate" "$rate"
  note "$1.p50" "$p50"
  note "$1.p99" "$p99"
}

measure_pgbench() {
  local before
  before=$(postgres_cpu)
  run_pgbench "$1" "$clients" "$DURATION" "$rows"
  note_cpu pgbench postgres_cpu "$before" "$(postgres_cpu)"
  note pgbench.connections "$clients"
  note pgbench.rate "$rate"
}

# --- The table ---------------------------------------------------------------------------------

readonly row='%-6s %6s %5s  %-9s %8s %9s %9s %9s %9s %6s %9s %9s\n'

print_head() {
  printf "\n$row" path conns bytes what "ops/s" "p50 ms" "p99 ms" "nginx s" "pg s" "pg" "against" "against"
  printf "$row" "" "" "" "" "" "" "" "/1000" "/1000" "conns" "baseline" "pgbench"
}

# A median in a format, or "-": shown FORMAT NAME
shown() {
  local number
  number=$(median "$2")
  if [ -n "$number" ]; then
    printf "$1" "$number"
  else
    echo -
  fi
}

# print_row PATH CONNECTIONS BYTES WHO
print_row() {
  local to_baseline=- to_pgbench=-
  [ "$4" != ours ] || to_baseline=$(ratio "$(median ours.rate)" "$(median baseline.rate)")
  [ "$4" = pgbench ] || to_pgbench=$(ratio "$(median "$4.rate")" "$(median pgbench.rate)")
  printf "$row" "$1" "$2" "$3" "$4" "$(shown %.0f "$4.rate")" "$(shown %.2f "$4.p50")" \
    "$(shown %.2f "$4.p99")" "$(shown %.4f "$4.nginx_cpu")" "$(shown %.4f "$4.postgres_cpu")" \
    "$(shown %.0f "$4.connections")" "$to_baseline" "$to_pgbench"
}

# All rounds of one path, number of connections and size. Every row starts new workers, so that they
# have no connections of earlier rows.
measure_row() {
  local path=$1 connections=$2 bytes=$3 round storage
  forget_numbers
  start_all
  for storage in "${storages[@]}"; do
    if [ "$path" = visit ]; then
      sign_in "$storage" "$visitors"
    else
      ask "$storage" "$path" >/dev/null
    fi
  done
  for ((round = 0; round < ROUNDS; round++)); do
    ! has_pgbench "$path" || measure_pgbench "$path"
    for storage in "${storages[@]}"; do
      measure_storage "$storage" "$path" "$connections"
    done
  done
  stop_all
  for storage in "${storages[@]}"; do
    print_row "$path" "$connections" "$bytes" "$storage"
  done
  ! has_pgbench "$path" || print_row "$path" "$clients" "$bytes" pgbench
}

describe() {
  local path runs=0
  for path in $PATHS; do
    runs=$((runs + ${#storages[@]}))
    ! has_pgbench "$path" || runs=$((runs + 1))
  done
  runs=$((runs * $(wc -w <<<"$CONNECTIONS") * $(wc -w <<<"$SIZES") * ROUNDS))
  describe_machine
  describe_project
  describe_servers
  cat <<TEXT
method:   $ROUNDS rounds of $DURATION s, alternating; medians. $rows sessions, picked at random; values do not
          compress. PostgreSQL has its default settings (fsync is on); everything shares this machine.
          pool_size $POOL_SIZE, md5 logins. pgbench: $clients clients, prepared, one statement an operation.
columns:  CPU seconds of nginx's worker and of all of PostgreSQL for 1,000 operations; the worker's
          connections to PostgreSQL after the run; operations a second against the baseline's and pgbench's.
          This takes about $((runs * (DURATION * 10 + 3) / 600 + 1)) minutes.
TEXT
}

check_numbers CONNECTIONS SIZES ROUNDS DURATION POOL_SIZE
find_tools wrk curl
find_nginx
make_folder
start_postgres
make_value 512
start_all
choose_paths
describe
stop_all
print_head
for bytes in $SIZES; do
  make_value "$bytes"
  fill "$rows"
  for path in $PATHS; do
    for connections in $CONNECTIONS; do
      measure_row "$path" "$connections" "$bytes"
    done
  done
done
