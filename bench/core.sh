#!/usr/bin/env bash
# The core alone, called through its Rust interface by blocking threads, beside pgbench with the
# same statements and as many clients. With CRITERION set, also what one operation takes, by
# criterion. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/postgres.sh

CARGO=${CARGO:-cargo}
THREADS=${THREADS:-1 4 16 64}
PATHS=${PATHS:-get set}
ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-2}
export SIZE=${SIZE:-512}
export POOL_SIZE=${POOL_SIZE:-16}
readonly rows=10000

check_paths() {
  local path
  for path in $PATHS; do
    [[ $path == get || $path == set ]] || fail "PATHS: $path is none of get, set"
  done
}

# Sets rate, p50 and p99: run_core PATH THREADS
run_core() {
  local output=$work/core.out
  "$CARGO" bench --quiet --locked --bench throughput -- "$1" "$2" "$DURATION" >"$output" ||
    fail "the bench failed"
  read -r rate p50 p99 <"$output" || fail "the bench says nothing"
}

# measure PATH THREADS
measure() {
  local round
  forget_numbers
  for ((round = 0; round < ROUNDS; round++)); do
    run_pgbench "$1" "$2" "$DURATION" "$rows"
    note pgbench "$rate"
    run_core "$1" "$2"
    note rate "$rate"
    note p50 "$p50"
    note p99 "$p99"
  done
  printf '%-5s %7s %9.0f %9.2f %9.2f %10.0f %11s\n' "$1" "$2" "$(median rate)" "$(median p50)" \
    "$(median p99)" "$(median pgbench)" "$(ratio "$(median rate)" "$(median pgbench)")"
}

check_numbers THREADS SIZE ROUNDS DURATION POOL_SIZE
check_paths
find_tools "$CARGO"
[ -e "$stage/share/resty-session-postgres/schema.sql" ] || fail "nothing is built yet; make build"
"$CARGO" bench --quiet --locked --bench throughput ${CRITERION:+--bench latency} --no-run
make_folder
start_postgres
export BENCH_PORT=$PGPORT BENCH_PASSWORD=$PGPASSWORD BENCH_DATABASE=$PGDATABASE BENCH_ROWS=$rows
make_value "$SIZE"
fill "$rows"
describe_machine
describe_project
postgres --version | sed 's/^/database: /'
cat <<TEXT
method:   $ROUNDS rounds of $DURATION s, alternating with pgbench -M prepared -j 2; medians. $rows sessions of
          $SIZE bytes, picked at random. PostgreSQL has its default settings (fsync is on). pool_size $POOL_SIZE.

TEXT
printf '%-5s %7s %9s %9s %9s %10s %11s\n' path threads "ops/s" "p50 ms" "p99 ms" pgbench/s "to pgbench"
for path in $PATHS; do
  for threads in $THREADS; do
    measure "$path" "$threads"
  done
done
if [ -n "${CRITERION:-}" ]; then
  echo
  "$CARGO" bench --locked --bench latency
fi
