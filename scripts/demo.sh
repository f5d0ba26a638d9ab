#!/usr/bin/env bash
# Starts a PostgreSQL and an nginx for examples/demo, and removes both at Ctrl-C.
# With CHECK set, runs scripts/demo-check.sh on the demo instead and exits with its status.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly program=demo
readonly demo=examples/demo
readonly db_name=sessions
. scripts/servers.sh

# --- Programs and modules ----------------------------------------------------------------------

# PostgreSQL refuses to run as root, so both servers run as the user postgres then. The kernel stops
# them when this script exits for any reason.
choose_user() {
  as_server=(setpriv --pdeathsig INT)
  if [ "$(id -u)" -eq 0 ]; then
    id postgres >/dev/null 2>&1 || fail "there is no user postgres to run PostgreSQL as"
    as_server+=(--reuid postgres --regid postgres --init-groups)
  fi
}

# lua-resty-session makes the sessions if it is on nginx's Lua path, for example through LUA_PATH.
choose_sessions() {
  local find_it='
    local function find(name) return package.searchpath(name, package.path) end
    local file = find("resty.session") and find("resty.openssl") and io.open(find("resty.session"))
    os.exit(file and file:read("*a"):find("_VERSION = \"4.", 1, true) and 0 or 1)'
  if "${as_server[@]}" luajit -e "$find_it" 2>/dev/null; then
    session_conf=resty-session.conf
  else
    session_conf=storage-only.conf
  fi
}

# --- Starting and stopping ---------------------------------------------------------------------

postgres_pid=
nginx_pid=

clean_up() {
  trap '' INT TERM HUP
  stop "$nginx_pid"
  stop "$postgres_pid"
  leave_folder
}

# Stops a server, if it has been started.
stop() {
  [ -z "$1" ] || end INT "$1"
}

fill_in() {
  local text
  text=$(<"$1")
  text=${text//@LOAD_MODULES@/"$load_modules"}
  text=${text//@PREFIX@/"$prefix"}
  text=${text//@SECRET@/"$secret"}
  text=${text//@HTTP_PORT@/"$http_port"}
  text=${text//@DB_PORT@/"$db_port"}
  text=${text//@DB_NAME@/"$db_name"}
  text=${text//@DB_PASSWORD@/"$db_password"}
  printf '%s\n' "$text"
}

own() {
  [ "$(id -u)" -ne 0 ] || chown -R postgres:postgres "$work"
}

# psql as a user with a password, which other users of the machine must not see on a command line:
# as_user NAME PASSWORD DATABASE OPTION…
as_user() {
  local name=$1 password=$2 database=$3
  shift 3
  PGPASSWORD=$password psql --no-psqlrc --quiet --no-password --set ON_ERROR_STOP=1 \
    --host 127.0.0.1 --port "$db_port" --username "$name" --dbname "$database" "$@"
}

make_database() {
  local admin_password
  admin_password=$(random_word)
  db_password=$(random_word)
  printf '%s\n' "$admin_password" >"$work/password"
  own
  "${as_server[@]}" initdb --pgdata "$work/data" --username postgres --pwfile "$work/password" \
    --auth scram-sha-256 --encoding UTF8 --locale C --no-sync --no-clean >"$work/initdb.log" ||
    { cat "$work/initdb.log" >&2; fail "initdb failed"; }

  # Another program may have taken the port in the meantime; then another port is tried.
  local attempt
  for attempt in 1 2 3; do
    db_port=$(free_port)
    "${as_server[@]}" postgres -D "$work/data" -c listen_addresses=127.0.0.1 -c port="$db_port" \
      -c unix_socket_directories= -c fsync=off -c max_connections=30 >"$work/postgres.log" 2>&1 &
    postgres_pid=$!
    if wait_for "$postgres_pid" as_user postgres "$admin_password" postgres --command 'SELECT 1'; then
      break
    fi
    [ "$attempt" -lt 3 ] || { cat "$work/postgres.log" >&2; fail "PostgreSQL does not start"; }
    stop "$postgres_pid"
  done

  as_user postgres "$admin_password" postgres <<SQL
CREATE ROLE $db_name LOGIN PASSWORD '$db_password';
CREATE DATABASE $db_name OWNER $db_name;
SQL
  as_user "$db_name" "$db_password" "$db_name" \
    --file "$stage/share/resty-session-postgres/schema.sql"
}

start_nginx() {
  prefix=$work/prefix
  secret=$(random_word)
  mkdir -p "$prefix" "$work/tmp"
  cp -R "$stage/lib" "$stage/share" "$prefix"
  cp -R "$demo/lua/demo" "$prefix/share/lua/5.1/demo"
  cp "$demo/style.css" "$work"

  local attempt
  for attempt in 1 2 3; do
    http_port=$(free_port)
    url=http://127.0.0.1:$http_port
    fill_in "$demo/nginx.conf.in" >"$work/nginx.conf"
    fill_in "$demo/$session_conf.in" >"$work/session.conf"
    : >"$work/error.log"
    own
    "${as_server[@]}" "$nginx" -p "$work/" -c nginx.conf -e error.log &
    nginx_pid=$!
    ! wait_for "$nginx_pid" curl --silent --fail "$url/style.css" || return 0
    stop "$nginx_pid"
    grep -q 'Address already in use' "$work/error.log" || break
  done
  cat "$work/error.log" >&2
  fail "nginx does not start"
}

# --- Messages ----------------------------------------------------------------------------------

introduce() {
  local yours hint=
  # Also if the demo makes the sessions itself: a site that does nothing with the storage has no use for it.
  yours=$(
    prefix=/opt/sessions db_port=5432 db_password="the role's password" secret="a random text of your own"
    fill_in "$demo/resty-session.conf.in" |
      sed '/demo\.app/d; /audience = "demo"/d; s/username = ".*"/username = "web"/'
  )
  if [ "$session_conf" = storage-only.conf ]; then
    hint="  lua-resty-session 4.x is not installed, so the demo makes simple sessions itself.
  Your site needs it. This installs it, and the next \`make demo\` uses it:

      sudo apt-get install luarocks
      sudo luarocks --lua-version 5.1 install lua-resty-session
"
  fi
  cat <<TEXT

  The demo of resty-session-postgres runs at

      $url/

  Its sessions are in a temporary PostgreSQL. To look at them:

      PGPASSWORD=$db_password psql -h 127.0.0.1 -p $db_port -U $db_name -c 'TABLE sessions_meta'

$hint
  On your site: \`sudo make install PREFIX=/opt/sessions\`, make a database (docs/installing.md),
  and add this to the http block of your nginx.conf:

$(sed 's/^./      &/' <<<"$yours")

  Ctrl-C stops it and removes everything.

TEXT
}

trap 'exit 0' INT
trap 'exit 143' TERM HUP

find_programs curl
find_nginx
# The developer's settings for psql are not meant for this server.
unset "${!PG@}"
choose_user
choose_sessions
new_folder
make_database
start_nginx

if [ -n "${CHECK:-}" ]; then
  scripts/demo-check.sh "$url" "$work/error.log"
else
  introduce
  wait -n "$postgres_pid" "$nginx_pid" || :
  tail -n 20 "$work/postgres.log" "$work/error.log" >&2
  fail "a server has stopped unexpectedly"
fi
