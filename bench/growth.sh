#!/usr/bin/env bash
# What more rows cost: get and set through nginx on tables of growing size. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/common.sh
source bench/lib/cpu.sh
source bench/lib/postgres.sh
source bench/lib/nginx.sh

ROWS=${ROWS:-10000 1000000 10000000}
CONNECTIONS=${CONNECTIONS:-64}
SIZE=${SIZE:-512}
ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-5}
POOL_SIZE=${POOL_SIZE:-16}
unset BASELINE_LUA_PATH BASELINE_LUA_CPATH

# The table, its indexes, what PostgreSQL logs of both, and room for the sets.
check_disk() {
  local most needed free
  most=$(tr ' ' '\n' <<<"$ROWS" | sort -n | tail -n 1)
  needed=$((most * (SIZE + 300) * 3 / 2 / 1048576 + 4096))
  free=$(df --output=avail --block-size=1M "$work" | tail -n 1)
  [ "$free" -ge "$needed" ] ||
    fail "$most rows need about $needed MiB in ${TMPDIR:-/tmp}, where $free are free"
}

# Without the indexes that are there in the meantime, as many rows take many times as long.
fill_at_once() {
  sql "$PGDATABASE" --command "
    SET client_min_messages = warning;
    DROP TABLE IF EXISTS sessions_meta;
    ALTER TABLE sessions DROP CONSTRAINT IF EXISTS sessions_pkey;
    DROP INDEX IF EXISTS sessions_exp_idx"
  fill "$1"
  sql "$PGDATABASE" --command "
    SET maintenance_work_mem = '512MB';
    ALTER TABLE sessions ADD PRIMARY KEY (sid);
    CREATE INDEX sessions_exp_idx ON sessions (exp)" --command "ANALYZE sessions" --command CHECKPOINT
}

declare -A smallest

# print_row PATH ROWS
print_row() {
  local rate
  rate=$(median rate)
  smallest[$1]=${smallest[$1]:-$rate}
  printf '%-5s %10s %9s %9.0f %9.2f %9.2f %9s\n' "$1" "$2" "$size_on_disk" "$rate" \
    "$(median p50)" "$(median p99)" "$(ratio "$rate" "${smallest[$1]}")"
}

# measure PATH ROWS
measure() {
  local round
  forget_numbers
  for ((round = 0; round < ROUNDS; round++)); do
    run_wrk ours "$1" "$CONNECTIONS" "$DURATION"
    note rate "$rate"
    note p50 "$p50"
    note p99 "$p99"
  done
  print_row "$1" "$2"
}

check_numbers ROWS CONNECTIONS SIZE ROUNDS DURATION POOL_SIZE
find_tools wrk curl
find_nginx
make_folder
check_disk
start_postgres
make_value "$SIZE"
start_nginx ours 1
describe_machine
describe_project
describe_servers
stop_nginx ours
echo "method:   $ROUNDS rounds of $DURATION s with $CONNECTIONS connections, $SIZE bytes a value; medians."
printf '\n%-5s %10s %9s %9s %9s %9s %9s\n' path rows "on disk" "ops/s" "p50 ms" "p99 ms" "to first"
for rows in $ROWS; do
  fill_at_once "$rows"
  size_on_disk=$(sql "$PGDATABASE" --command \
    "SELECT replace(pg_size_pretty(pg_total_relation_size('sessions')), ' ', '')")
  start_nginx ours "$rows"
  for path in get set; do
    measure "$path" "$rows"
  done
  stop_nginx ours
done
