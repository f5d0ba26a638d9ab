#!/usr/bin/env bash
# Measures get and set through nginx on tables of growing size. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/nginx.sh

ROWS=${ROWS:-10000 1000000 10000000}
CONNECTIONS=${CONNECTIONS:-64}
SIZE=${SIZE:-512}
ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-5}
POOL_SIZE=${POOL_SIZE:-16}
# What PostgreSQL's documentation advises for a dedicated server, and space for the write-ahead log. With
# the default of 128 MB the result would depend on the size of the buffers only.
memory=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
SETTINGS=${SETTINGS-shared_buffers=$((memory / 3))MB max_wal_size=16GB checkpoint_timeout=30min wal_compression=on}
unset BASELINE_LUA_PATH BASELINE_LUA_CPATH

# The table, its indexes, the write-ahead log of both, and space for the sets.
check_disk() {
  local rows all=0 needed free
  for rows in $ROWS; do
    all=$((all + rows))
  done
  needed=$((all * (SIZE + 300) * 3 / 2 / 1048576 + 4096))
  free=$(df --output=avail --block-size=1M "$work" | tail -n 1)
  [ "$free" -ge "$needed" ] ||
    fail "$all rows need about $needed MiB in ${TMPDIR:-/tmp}, where $free are free"
}

# Filling a table that has indexes takes many times as long.
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

# Makes a database for each size, so that all sizes can be measured in turn: prepare ROWS
prepare() {
  sql template1 --command "CREATE DATABASE rows_$1"
  PGDATABASE=rows_$1
  sql "$PGDATABASE" --file "$stage/share/resty-session-postgres/schema.sql"
  fill_at_once "$1"
  start_nginx "rows_$1" "$1"
}

# measure PATH ROWS
measure() {
  run_wrk "rows_$2" "$1" "$CONNECTIONS" "$DURATION"
  note "$1.$2.rate" "$rate"
  note "$1.$2.p50" "$p50"
  note "$1.$2.p99" "$p99"
}

# The same by pgbench: measure_pgbench PATH ROWS
measure_pgbench() {
  PGDATABASE=rows_$2 run_pgbench "$1" 16 "$DURATION" "$2"
  note "$1.$2.pgbench" "$rate"
}

# print_row PATH ROWS
print_row() {
  local size first=${ROWS%% *}
  size=$(sql "rows_$2" --command \
    "SELECT replace(pg_size_pretty(pg_total_relation_size('sessions')), ' ', '')")
  printf '%-5s %10s %9s %9.0f %9.2f %9.2f %9s %10.0f %9s\n' "$1" "$2" "$size" \
    "$(median "$1.$2.rate")" "$(median "$1.$2.p50")" "$(median "$1.$2.p99")" \
    "$(ratio "$(median "$1.$2.rate")" "$(median "$1.$first.rate")")" "$(median "$1.$2.pgbench")" \
    "$(ratio "$(median "$1.$2.pgbench")" "$(median "$1.$first.pgbench")")"
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
echo "method:   $ROUNDS rounds of $DURATION s, the sizes in turn, with $CONNECTIONS connections, $SIZE bytes a"
echo "          value, and pgbench with 16 clients; medians. PostgreSQL: $SETTINGS"
for rows in $ROWS; do
  prepare "$rows"
done
forget_numbers
for ((round = 0; round < ROUNDS; round++)); do
  for path in get set; do
    for rows in $ROWS; do
      measure "$path" "$rows"
      measure_pgbench "$path" "$rows"
    done
  done
done
printf '\n%-5s %10s %9s %9s %9s %9s %9s %10s %9s\n' path rows "on disk" "ops/s" "p50 ms" "p99 ms" "to first" \
  "pgbench/s" "to first"
for path in get set; do
  for rows in $ROWS; do
    print_row "$path" "$rows"
  done
done
for rows in $ROWS; do
  stop_nginx "rows_$rows"
done
