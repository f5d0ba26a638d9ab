# Starts an nginx with ngx_lua and one worker for each storage, and wrk to load it. To be sourced from the
# project's folder; sources bench/lib/postgres.sh.

source bench/lib/postgres.sh

declare -A nginx_pid nginx_port worker_pid

# The Lua paths of a storage. "baseline" comes from BASELINE_LUA_PATH, any other one from the stage. For
# all of them resty.session comes from BASELINE_LUA_PATH or nginx's default path.
lua_path_of() {
  local path="$PWD/bench/lua/?.lua;"
  [ "$1" = baseline ] || path+="$(realpath "$stage")/share/lua/5.1/?.lua;"
  echo "$path${BASELINE_LUA_PATH:+$BASELINE_LUA_PATH;}/usr/share/lua/5.1/?.lua;;"
}

lua_cpath_of() {
  local path=
  [ "$1" = baseline ] || path="$(realpath "$stage")/lib/lua/5.1/?.so;"
  echo "$path${BASELINE_LUA_CPATH:+$BASELINE_LUA_CPATH;}/usr/lib/$(uname -m)-linux-gnu/lua/5.1/?.so;;"
}

# start_nginx STORAGE ROWS [SAMPLES]
start_nginx() {
  local storage=$1 folder=$work/$1 attempt text main=$load_modules
  # By default its workers would run as the user nobody, who may not read these folders.
  [ "$(id -u)" -ne 0 ] || main+=$'\n'"user root;"
  mkdir -p "$folder"
  for attempt in 1 2 3; do
    nginx_port[$storage]=$(free_port)
    text=$(<bench/nginx.conf.in)
    text=${text//@MAIN@/"$main"}
    text=${text//@LUA_PATH@/"$(lua_path_of "$storage")"}
    text=${text//@LUA_CPATH@/"$(lua_cpath_of "$storage")"}
    text=${text//@HTTP_PORT@/"${nginx_port[$storage]}"}
    text=${text//@DB_PORT@/"$PGPORT"}
    text=${text//@DB_NAME@/"$PGDATABASE"}
    text=${text//@DB_PASSWORD@/"$PGPASSWORD"}
    text=${text//@APPLICATION@/"bench-$storage"}
    text=${text//@POOL_SIZE@/"$POOL_SIZE"}
    text=${text//@VALUE_FILE@/"$value_file"}
    # The clean-up would disturb the measurement, unless it is measured itself.
    text=${text//@CLEANUP_INTERVAL@/"${CLEANUP_INTERVAL:-0}"}
    text=${text//@ROWS@/"$2"}
    text=${text//@SAMPLES@/"${3:-false}"}
    printf '%s\n' "$text" >"$folder/nginx.conf"
    : >"$folder/error.log"
    "${as_child[@]}" "$nginx" -p "$folder/" -c nginx.conf -e error.log 2>"$folder/stderr" &
    nginx_pid[$storage]=$!
    started "${nginx_pid[$storage]}" TERM
    if wait_for "${nginx_pid[$storage]}" curl --silent --fail "$(url_of "$storage" about)"; then
      worker_pid[$storage]=$(children_of "${nginx_pid[$storage]}" | tr -d ' ')
      return
    fi
    stop "${nginx_pid[$storage]}"
    grep -q 'Address already in use' "$folder/error.log" || break
  done
  fail_with_log "$storage" "nginx does not start"
}

stop_nginx() {
  stop "${nginx_pid[$1]}"
  # A crashed worker makes the run fail.
  ! grep -qE '\[(alert|emerg|crit)\]' "$work/$1/error.log" || fail_with_log "$1" "nginx has logged an error"
}

# Prints the end of the storage's error log and fails: fail_with_log STORAGE MESSAGE
fail_with_log() {
  tail -n 20 "$work/$1/stderr" "$work/$1/error.log" >&2
  fail "$1: $2"
}

# url_of STORAGE PATH
url_of() {
  echo "http://127.0.0.1:${nginx_port[$1]}/$2"
}

# Makes one request, which must succeed, and prints its answer: ask STORAGE PATH
ask() {
  curl --silent --show-error --max-time 60 --fail "$(url_of "$1" "$2")" ||
    fail_with_log "$1" "/$2 failed"
}

# Writes the cookies of some new sessions, one a line: sign_in STORAGE NUMBER
sign_in() {
  local i
  for ((i = 0; i < $2; i++)); do
    curl --silent --show-error --fail --dump-header - --output "$work/page" "$(url_of "$1" login)" |
      tr -d '\r' | sed -n 's/^Set-Cookie: \([^;]*\);.*/\1/p'
  done >"$work/$1/cookies"
  [ "$(wc -l <"$work/$1/cookies")" -eq "$2" ] || fail_with_log "$1" "/login sets no cookie"
}

# wrk in one thread: run_wrk STORAGE PATH CONNECTIONS SECONDS. Sets rate, p50 and p99
# (milliseconds) and operations. Fails if a single request fails.
run_wrk() {
  local output=$work/$1/wrk.out cookies=() errors
  [ "$2" != visit ] || cookies=(-- "$work/$1/cookies")
  "${as_child[@]}" wrk --threads 1 --connections "$3" --duration "$4s" --timeout 10s --latency \
    --script bench/wrk/report.lua "$(url_of "$1" "$2")" "${cookies[@]}" >"$output" 2>&1 ||
    { cat "$output" >&2; fail_with_log "$1" "wrk failed"; }
  read -r _ rate p50 p99 operations errors < <(grep '^report ' "$output") ||
    { cat "$output" >&2; fail_with_log "$1" "wrk reports nothing"; }
  [ "$errors" = "0 0 0 0 0" ] || { cat "$output" >&2; fail_with_log "$1" "/$2 did not always succeed"; }
  [ "$operations" -gt 0 ] || fail_with_log "$1" "/$2 was never answered"
}

describe_servers() {
  postgres --version | sed 's/^/database: /'
  echo "nginx:    $("$nginx" -v 2>&1 | sed 's/^nginx version: //'), $(ask ours about), one worker"
  if [ -n "${BASELINE_LUA_PATH:-}" ]; then
    echo "baseline: $(ask baseline about)"
  fi
  # It prints its version and fails.
  echo "load:     $(wrk --version 2>&1 | sed -n '1s/ Copyright.*//p' || :), one thread"
}
