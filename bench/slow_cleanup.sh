#!/usr/bin/env bash
# Measures the clean-up of tables whose metadata has no index by session, as lua-resty-session documents them:
# each deleted session reads the metadata of all. Then makes the index. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/nginx.sh

CONNECTIONS=${CONNECTIONS:-64}
SIZE=${SIZE:-512}
LIVE=${LIVE:-1000000}
OVER=${OVER:-20000}
SECONDS_EACH=${SECONDS_EACH:-20}
ROUNDS=${ROUNDS:-3}
POOL_SIZE=${POOL_SIZE:-4}
INTERVAL=5000

expired() {
  sql "$PGDATABASE" --command 'SELECT count(*) FROM sessions WHERE exp < now()'
}

# run NAME CLEANUP_INTERVAL: one run, with a new nginx. Notes the longest latency in milliseconds.
run() {
  CLEANUP_INTERVAL=$2
  start_nginx ours "$LIVE"
  # The engine, and with it the clean-up, starts with the first operation.
  curl --silent --fail "$(url_of ours get)" >/dev/null
  run_wrk ours mix "$CONNECTIONS" "$SECONDS_EACH"
  note "$1-rate" "$rate"
  note "$1-p99" "$p99"
  note "$1-max" "$(awk '$1 == "Latency" { t = $4; f = 1
    if (t ~ /us$/) f = 0.001; else if (t !~ /ms$/) f = 1000
    print (t + 0) * f; exit }' "$work/ours/wrk.out")"
  grep -c 'CREATE INDEX CONCURRENTLY ON "sessions_meta"' "$work/ours/error.log" >"$work/named" || :
  stop_nginx ours
}

check_numbers CONNECTIONS SIZE LIVE OVER SECONDS_EACH ROUNDS POOL_SIZE
find_tools wrk curl
find_nginx
make_folder
start_postgres
make_value "$SIZE"
fill "$LIVE"
sql "$PGDATABASE" --set rows="$OVER" <<SQL
  SET client_min_messages = warning;
  DROP INDEX sessions_meta_sid_idx;
  INSERT INTO sessions (sid, name, exp)
  SELECT rpad(md5('over' || n), 43, '_'), 'session', date_trunc('second', now() - interval '1 hour')
  FROM generate_series(1, :rows) AS n;
  INSERT INTO sessions_meta SELECT 'shop', sid, sid FROM sessions;
  VACUUM ANALYZE;
  CHECKPOINT;
SQL
forget_numbers
describe_machine
describe_project
start_nginx ours "$LIVE"
describe_servers
stop_nginx ours
cat <<TEXT
method:   nine gets and one set of ten at $CONNECTIONS connections, $SIZE bytes a value, pool_size $POOL_SIZE, one worker;
          $LIVE sessions are live, $OVER have expired, all have metadata without an index by session. Runs of
          $SECONDS_EACH s without the clean-up and with it (cleanup_interval $INTERVAL) in turn, $ROUNDS of each; medians.

TEXT

run warm 0
for ((round = 0; round < ROUNDS; round++)); do
  run without 0
  before=$(expired)
  run with "$INTERVAL"
  note deleted $((before - $(expired)))
done

printf '%-28s %10s %12s %12s\n' '' 'requests/s' 'p99 ms' 'longest ms'
for name in without with; do
  printf '%-28s %10.0f %12.2f %12.2f\n' "$name the clean-up" "$(median "$name-rate")" \
    "$(median "$name-p99")" "$(median "$name-max")"
done
echo "deleted: $(median deleted) in each run; the log named the index $(<"$work/named") times in the last one"

sql "$PGDATABASE" --command 'CREATE INDEX ON sessions_meta (sid)'
CLEANUP_INTERVAL=$INTERVAL
start_nginx ours "$LIVE"
curl --silent --fail "$(url_of ours get)" >/dev/null
left=$(expired)
begin=$(date +%s)
while [ "$(expired)" -gt 0 ]; do
  [ $(($(date +%s) - begin)) -lt 600 ] || fail "the clean-up has not finished within 10 minutes"
  sleep 0.5
done
echo "with the index: the other $left within $(($(date +%s) - begin)) s"
stop_nginx ours
