#!/usr/bin/env bash
# Measures the memory of a worker under a steady load. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/nginx.sh

MINUTES=${MINUTES:-10}
EVERY=${EVERY:-10}
CONNECTIONS=${CONNECTIONS:-64}
SIZE=${SIZE:-512}
POOL_SIZE=${POOL_SIZE:-16}
readonly rows=10000
unset BASELINE_LUA_PATH BASELINE_LUA_CPATH

# A field of the worker's /proc/PID/status: field_of NAME
field_of() {
  awk -v name="$1:" '$1 == name { print $2 }' "/proc/${worker_pid[ours]}/status"
}

check_numbers MINUTES EVERY CONNECTIONS SIZE POOL_SIZE
find_tools wrk curl
find_nginx
make_folder
start_postgres
make_value "$SIZE"
fill "$rows"
start_nginx ours "$rows"
describe_machine
describe_project
describe_servers
echo "method:   a mix of 90 % get and 10 % set at $CONNECTIONS connections for $MINUTES minutes; the worker's memory" \
  "each $EVERY s."
printf '\n%8s %10s %8s %8s %6s\n' seconds "RSS KiB" threads files pg

sample() {
  local resident
  resident=$(field_of VmRSS)
  note resident "$resident"
  printf '%8d %10d %8d %8d %6d\n' "$1" "$resident" "$(field_of Threads)" \
    "$(find "/proc/${worker_pid[ours]}/fd" -mindepth 1 | wc -l)" "$(connections_of bench-ours)"
}

forget_numbers
sample 0
run_wrk ours mix "$CONNECTIONS" "$((MINUTES * 60))" &
load=$!
started "$load" TERM
start=$EPOCHSECONDS
while sleep "$EVERY" && is_alive "$load"; do
  sample "$((EPOCHSECONDS - start))"
done
wait "$load" || fail "the load failed"

# The first minute fills caches and pools; a leak would show after it.
awk -v skip="$((60 / EVERY + 1))" '
  { n++; if ($1 > most) most = $1; if (n == skip + 1) early = $1; last = $1 }
  END {
    printf "\nat most %d KiB", most
    if (early) printf "; from %d KiB after a minute to %d KiB at the end (%+d)", early, last, last - early
    print ""
  }' "$work/numbers/resident"
stop_nginx ours
