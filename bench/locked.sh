#!/usr/bin/env bash
# Measures the effect of one locked row on others: a transaction holds it for some seconds during a run
# of sets, while some callers want that row. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/lib/nginx.sh

CONNECTIONS=${CONNECTIONS:-64}
SIZE=${SIZE:-512}
LOCKED=${LOCKED:-2}
POOL_SIZE=${POOL_SIZE:-16}
CALLERS=${CALLERS:-$POOL_SIZE}
readonly rows=10000
# Seconds of the run before and after the lock.
readonly around=3

storages=(ours)
[ -z "${BASELINE_LUA_PATH:-}" ] || storages+=(baseline)

# Locks session 0, and writes the times of the lock and of its release.
hold_lock() {
  sql "$PGDATABASE" >"$work/lock" <<SQL
    BEGIN;
    SELECT FROM sessions WHERE sid = rpad(md5('0'), 43, '_') FOR UPDATE;
    SELECT extract(epoch FROM clock_timestamp());
    SELECT pg_sleep($LOCKED);
    SELECT extract(epoch FROM clock_timestamp());
    COMMIT;
SQL
}

# Callers of the locked row; prints a line for each, with the status and the duration in seconds.
call_locked() {
  local i callers=()
  for ((i = 0; i < CALLERS; i++)); do
    curl --silent --max-time 30 --output "$work/answer-$i" --write-out '%{http_code} %{time_total}\n' \
      "$(url_of "$1" set0)" &
    callers+=($!)
  done
  wait "${callers[@]}" || :
}

# Summarizes each part of the run from the samples: time, sets and failures so far.
summarize() {
  awk -v from="$1" -v to="$2" '
    function part(name, start, end,    i, first, last, least, rate) {
      for (i = 1; i <= n; i++) {
        if (time[i] < start || time[i] > end) continue
        if (!first) first = i
        else {
          rate = (sets[i] - sets[i - 1]) / (time[i] - time[i - 1])
          if (least == "" || rate < least) least = rate
        }
        last = i
      }
      if (last <= first) { print "too few samples " name > "/dev/stderr"; exit 1 }
      rate = (sets[last] - sets[first]) / (time[last] - time[first])
      if (name == "before") usual = rate
      printf "  %-7s %9.0f sets/s  %5.2f of before   worst sample %9.0f sets/s   failures %d\n",
        name, rate, usual ? rate / usual : 0, least, failures[last] - failures[first]
    }
    NF == 3 { n++; time[n] = $1; sets[n] = $2; failures[n] = $3 }
    END {
      # The first second warms up.
      part("before", from - 2, from)
      part("during", from, to)
      part("after", to + 0.2, to + 2.2)
    }' "$work/samples"
}

summarize_callers() {
  awk '
    { status[$1]++; if ($2 > most) most = $2; if (least == "" || $2 < least) least = $2 }
    END {
      for (s in status) printf "%s%d answered %s", separator, status[s], s (separator = ", ") ""
      printf "; after %.2f to %.2f s\n", least, most
    }' "$work/callers" | sed 's/, ;/;/; s/, *$//'
}

# run_locked STORAGE
run_locked() {
  local load lock callers times
  start_nginx "$1" "$rows" true
  ask "$1" set >/dev/null
  # run_wrk would fail on the callers' long waits, which are measured here.
  "${as_child[@]}" wrk --threads 1 --connections "$CONNECTIONS" --timeout 30s \
    --duration "$((around + LOCKED + around))s" "$(url_of "$1" set)" >"$work/wrk.out" 2>&1 &
  load=$!
  started "$load" TERM
  sleep "$around"
  hold_lock &
  lock=$!
  wait_for "$lock" test -s "$work/lock" || :
  call_locked "$1" >"$work/callers" &
  callers=$!
  wait "$lock" || fail "the transaction that holds the lock failed"
  wait "$load" || { cat "$work/wrk.out" >&2; fail "wrk failed"; }
  wait "$callers"
  ask "$1" samples >"$work/samples"
  mapfile -t times < <(grep . "$work/lock")
  echo "$1"
  summarize "${times[0]}" "${times[-1]}"
  echo "  the $CALLERS callers of the locked row: $(summarize_callers)"
  stop_nginx "$1"
}

check_numbers CONNECTIONS SIZE LOCKED POOL_SIZE CALLERS
find_tools wrk curl
find_nginx
make_folder
start_postgres
make_value "$SIZE"
fill "$rows"
for storage in "${storages[@]}"; do
  start_nginx "$storage" "$rows"
done
describe_machine
describe_project
describe_servers
for storage in "${storages[@]}"; do
  stop_nginx "$storage"
done
cat <<TEXT
method:   sets at $CONNECTIONS connections, $SIZE bytes a value, pool_size $POOL_SIZE; one row is locked for $LOCKED s,
          and $CALLERS callers want it from then on. Sampled every 100 ms in nginx.

TEXT
for storage in "${storages[@]}"; do
  run_locked "$storage"
done
