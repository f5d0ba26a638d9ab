#!/usr/bin/env bash
# The core without nginx, called through its Rust interface by blocking threads; a plain pool of
# r2d2_postgres, called by as many threads; and pgbench with the same statements and as many clients.
# With CRITERION set, criterion also measures how long one operation takes. See bench/README.md.
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

# Sets rate, p50 and p99: run_threads SUBJECT PATH THREADS
run_threads() {
  local output=$work/core.out
  "$CARGO" bench --quiet --locked --bench throughput -- "$1" "$2" "$3" "$DURATION" >"$output" ||
    fail "the benchmark failed"
  read -r rate p50 p99 <"$output" || fail "the benchmark printed nothing"
}

readonly row='%-5s %7s  %-14s %9s %9s %9s %14s %11s\n'

# print_row PATH THREADS WHAT
print_row() {
  local to_plain=- p50 p99
  [ "$3" != ours ] || to_plain=$(ratio "$(median ours.rate)" "$(median r2d2_postgres.rate)")
  p50=$(median "$3.p50")
  p99=$(median "$3.p99")
  printf "$row" "$1" "$2" "$3" "$(calculate '%.0f' "$(median "$3.rate")")" "${p50:--}" "${p99:--}" \
    "$to_plain" "$(ratio "$(median "$3.rate")" "$(median pgbench.rate)")"
}

# measure PATH THREADS
measure() {
  local round subject
  forget_numbers
  for ((round = 0; round < ROUNDS; round++)); do
    run_pgbench "$1" "$2" "$DURATION" "$rows"
    note pgbench.rate "$rate"
    for subject in ours r2d2_postgres; do
      run_threads "$subject" "$1" "$2"
      note "$subject.rate" "$rate"
      note "$subject.p50" "$p50"
      note "$subject.p99" "$p99"
    done
  done
  for subject in ours r2d2_postgres pgbench; do
    print_row "$1" "$2" "$subject"
  done
}

check_numbers THREADS SIZE ROUNDS DURATION POOL_SIZE
check_paths
find_tools "$CARGO"
[ -e "$stage/share/resty-session-postgres/schema.sql" ] || fail "the tables are not staged; make bench or make build does that"
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
method:   $ROUNDS rounds of $DURATION s, ours, r2d2_postgres and pgbench -M prepared -j 2 in turn; medians. $rows sessions
          of $SIZE bytes, picked at random. PostgreSQL has its default settings (fsync is on). Both pools have
          $POOL_SIZE connections at most; r2d2_postgres has its statements prepared and does not test
          connections before their use. pgbench has as many clients as there are threads.

TEXT
printf "$row" path threads what "ops/s" "p50 ms" "p99 ms" "/r2d2_postgres" /pgbench
for path in $PATHS; do
  for threads in $THREADS; do
    measure "$path" "$threads"
  done
done
if [ -n "${CRITERION:-}" ]; then
  echo
  "$CARGO" bench --locked --bench latency
fi
