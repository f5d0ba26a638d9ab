#!/usr/bin/env bash
# Measures the effect of the background clean-up on requests: of two million sessions one million have
# expired, and 64 connections make nine gets to one set. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/nginx.sh

CONNECTIONS=${CONNECTIONS:-64}
SIZE=${SIZE:-512}
LIVE=${LIVE:-1000000}
OVER=${OVER:-1000000}
SECONDS_EACH=${SECONDS_EACH:-10}
ROUNDS=${ROUNDS:-3}
POOL_SIZE=${POOL_SIZE:-4}

expired() {
  sql "$PGDATABASE" --command 'SELECT count(*) FROM sessions WHERE exp < now()'
}

add_expired() {
  sql "$PGDATABASE" --set rows="$1" <<SQL
    \\set value \`cat "$value_file"\`
    INSERT INTO sessions (sid, name, data, exp)
    SELECT rpad(md5('over' || n), 43, '_'), 'session', :'value',
      date_trunc('second', now() - interval '1 hour' - n * interval '1 millisecond')
    FROM generate_series(1, :rows) AS n;
    VACUUM ANALYZE sessions;
    CHECKPOINT;
SQL
}

# One run of wrk; notes the rate and the p99 in milliseconds under a name.
measure() {
  run_wrk ours mix "$CONNECTIONS" "$SECONDS_EACH"
  note "$1-rate" "$rate"
  note "$1-p99" "$p99"
}

check_numbers CONNECTIONS SIZE LIVE OVER SECONDS_EACH ROUNDS POOL_SIZE
find_tools wrk curl
find_nginx
make_folder
start_postgres
make_value "$SIZE"
fill "$LIVE"
add_expired "$OVER"
forget_numbers
describe_machine
describe_project
start_nginx ours "$LIVE"
describe_servers
stop_nginx ours
cat <<TEXT
method:   nine gets and one set of ten at $CONNECTIONS connections, $SIZE bytes a value, pool_size $POOL_SIZE, one worker;
          $LIVE sessions are live, $OVER have expired. Runs of $SECONDS_EACH s without the clean-up and
          with it in turn, $ROUNDS of each; medians.

TEXT

# run NAME CLEANUP_INTERVAL: one run, with a new nginx.
run() {
  CLEANUP_INTERVAL=$2
  start_nginx ours "$LIVE"
  # The engine, and with it the clean-up, starts with the first operation.
  curl --silent --fail "$(url_of ours get)" >/dev/null
  sleep 2
  measure "$1"
  stop_nginx ours
}

run warm 0
cleaned=0
for ((round = 0; round < ROUNDS; round++)); do
  run without 0
  before=$(expired)
  run with 1000
  after=$(expired)
  [ "$after" -gt 0 ] || fail "nothing is left to clean up: raise OVER, or lower ROUNDS"
  cleaned=$((cleaned + before - after))
done

# The remaining sessions, at the same load.
CLEANUP_INTERVAL=1000
start_nginx ours "$LIVE"
left=$(expired)
begin=$(date +%s)
while [ "$(expired)" -gt 0 ]; do
  measure rest
  [ $(($(date +%s) - begin)) -lt 1800 ] || fail "the clean-up has not finished within 30 minutes"
done
took=$(($(date +%s) - begin))
stop_nginx ours

printf '%-28s %10s %12s\n' '' 'requests/s' 'p99 ms'
for name in without with; do
  printf '%-28s %10.0f %12.2f\n' "$name the clean-up" "$(median "$name-rate")" "$(median "$name-p99")"
done
echo "p99 with the clean-up: $(ratio "$(median with-p99)" "$(median without-p99)") times that without"
echo "deleted: $cleaned in the $ROUNDS runs, and the other $left within $took s"
