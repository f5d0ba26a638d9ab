# Starts a PostgreSQL with default settings (fsync is on) and SETTINGS, and runs statements and pgbench on
# it. To be sourced from the project's folder; sources bench/lib/common.sh and cpu.sh.

source bench/lib/common.sh
source bench/lib/cpu.sh

readonly most_connections=400

# PostgreSQL refuses to run as root; it runs as the user postgres then.
choose_user() {
  as_postgres=(setpriv --pdeathsig QUIT)
  if [ "$(id -u)" -eq 0 ]; then
    id postgres >/dev/null 2>&1 || fail "there is no user postgres to run PostgreSQL as"
    as_postgres+=(--reuid postgres --regid postgres --init-groups)
  fi
}

# Sets the PG… variables, so that psql, pgbench and the Rust benches find it by themselves.
start_postgres() {
  choose_user
  # The developer's settings for psql are not meant for this server.
  unset "${!PG@}"
  export PGHOST=127.0.0.1 PGUSER=postgres PGDATABASE=bench PGPASSWORD
  PGPASSWORD=$(random_word)

  local folder=$work/postgres attempt
  mkdir "$folder"
  printf '%s\n' "$PGPASSWORD" >"$folder/password"
  [ "$(id -u)" -ne 0 ] || chown -R postgres:postgres "$folder"
  # md5, because it is cheap for both sides: SCRAM is slow by design, which would show in the figures of a
  # storage that opens many connections.
  (cd / && "${as_postgres[@]}" initdb --pgdata "$folder/data" --username "$PGUSER" \
    --pwfile "$folder/password" --auth md5 --encoding UTF8 --locale C.UTF-8 --no-sync) \
    >"$work/initdb.log" || { cat "$work/initdb.log" >&2; fail "initdb failed"; }

  local setting settings=()
  for setting in ${SETTINGS:-}; do
    settings+=(-c "$setting")
  done

  # Another program may have taken the port in the meantime; then another port is tried. The baseline's
  # expiry is right only with the time zone UTC.
  for attempt in 1 2 3; do
    export PGPORT
    PGPORT=$(free_port)
    (cd / && exec "${as_postgres[@]}" postgres -D "$folder/data" -c listen_addresses=127.0.0.1 \
      -c port="$PGPORT" -c unix_socket_directories= -c timezone=UTC \
      -c max_connections="$most_connections" "${settings[@]}") >"$work/postgres.log" 2>&1 &
    postgres_pid=$!
    started "$postgres_pid" QUIT
    if wait_for "$postgres_pid" sql template1 --command 'SELECT 1'; then
      sql template1 --command "CREATE DATABASE $PGDATABASE"
      sql "$PGDATABASE" --file "$stage/share/resty-session-postgres/schema.sql"
      return
    fi
    stop "$postgres_pid"
  done
  cat "$work/postgres.log" >&2
  fail "PostgreSQL does not start"
}

# sql DATABASE PSQL_ARGUMENT…
sql() {
  psql --no-psqlrc --quiet --tuples-only --no-align --no-password --set ON_ERROR_STOP=1 \
    --dbname "$@"
}

postgres_cpu() {
  cpu_of_family "$postgres_pid"
}

# Makes the value of all sessions. It does not compress, as encrypted sessions do not: make_value BYTES
make_value() {
  # pgbench gets it as an argument.
  [ "$1" -le 100000 ] || fail "a value of $1 bytes is too large for this benchmark"
  value_file=$work/value
  head -c "$1" /dev/urandom | base64 --wrap 0 | head -c "$1" >"$value_file"
}

# Fills the table. The keys are made from numbers, 0 to the given one, so that callers can compute the key
# of an existing session. Session 0 is never picked.
fill() {
  PGOPTIONS='-c client_min_messages=warning' sql "$PGDATABASE" --set rows="$1" <<SQL
    \\set value \`cat "$value_file"\`
    TRUNCATE sessions CASCADE;
    INSERT INTO sessions (sid, name, data, exp)
    SELECT rpad(md5(n::text), 43, '_'), 'session', :'value',
      date_trunc('second', now() + interval '100 hours')
    FROM generate_series(0, :rows) AS n;
    VACUUM ANALYZE sessions;
    CHECKPOINT;
SQL
}

# The number of connections with an application_name.
connections_of() {
  sql "$PGDATABASE" --command \
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$1'"
}

# pgbench with the statements of a path, one row each: run_pgbench PATH CLIENTS SECONDS ROWS.
# Sets rate, average (milliseconds) and operations.
run_pgbench() {
  local scripts=() output=$work/pgbench.out
  case $1 in
    get | set) scripts=(--file "bench/pgbench/$1.sql") ;;
    mix) scripts=(--file bench/pgbench/get.sql@9 --file bench/pgbench/set.sql@1) ;;
    *) fail "pgbench has no path $1" ;;
  esac
  "${as_child[@]}" pgbench --no-vacuum --protocol prepared --client "$2" --jobs "$(pgbench_jobs "$2")" \
    --time "$3" --define rows="$4" --define value="$(<"$value_file")" "${scripts[@]}" \
    >"$output" 2>&1 || { cat "$output" >&2; fail "pgbench failed"; }
  ! grep -qi 'error\|aborted' "$output" || { cat "$output" >&2; fail "pgbench reports errors"; }
  rate=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$output")
  average=$(sed -n 's/^latency average = \([0-9.]*\).*/\1/p' "$output")
  operations=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$output")
  [[ $rate && $operations ]] || { cat "$output" >&2; fail "pgbench prints no result"; }
}

# Two threads, which suits a small machine; pgbench refuses more threads than clients.
pgbench_jobs() {
  [ "$1" -ge 2 ] && echo 2 || echo 1
}
