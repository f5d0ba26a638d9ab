#!/usr/bin/env bash
# Uses the running demo as several browsers would: demo-check.sh URL ERROR_LOG
set -euo pipefail

readonly url=$1 error_log=$2
browsers=$(mktemp -d "${TMPDIR:-/tmp}/rsp-demo-check.XXXXXX")
trap 'rm -rf "$browsers"' EXIT

step() {
  echo "  - $*"
}

fail() {
  echo "demo check: $*" >&2
  echo "--- the last page:" >&2
  printf '%s\n' "$page" >&2
  echo "--- error.log:" >&2
  cat "$error_log" >&2
  exit 1
}

# Makes a request with the cookies of a browser: browser NAME CURL_ARGUMENT…
page=
browser() {
  local jar=$browsers/$1
  shift
  page=$(curl --silent --show-error --max-time 20 --location --cookie "$jar" --cookie-jar "$jar" \
    --write-out $'\nstatus %{http_code}' "$@") || fail "curl failed: $*"
}

sign_in() {
  browser "$1" --header "Origin: $url" --data-urlencode "name=$2" "$url/sign-in"
}

sign_out() {
  browser "$1" --header "Sec-Fetch-Site: same-origin" --data "" "$url/sign-out"
}

sign_out_others() {
  browser "$1" --header "Sec-Fetch-Site: same-origin" --data "" "$url/sign-out-others"
}

expect() {
  [[ $page == *"$1"* ]] || fail "the page should hold: $1"
}

expect_no() {
  [[ $page != *"$1"* ]] || fail "the page should not hold: $1"
}

expect_visits() {
  expect "<strong id=\"visits\">$1</strong>"
}

expect_sessions() {
  local found
  found=$(grep -c '<tr class="session">' <<<"$page") || :
  [ "$found" -eq "$1" ] || fail "the page should list $1 sessions, it lists $found"
  found=$(grep -c 'this browser' <<<"$page") || :
  [ "$found" -eq 1 ] || fail "the page should mark one session as this browser's, it marks $found"
}

cookie_of() {
  awk '$6 ~ /session/ { print $7 }' "$browsers/$1"
}

echo "Checking $url"

step "a new browser is asked who it is"
browser first "$url/"
expect "status 200"
expect "Who are you?"

step "its sessions: $(sed -n 's/<footer>\(.*\)<\/footer>/\1/p' <<<"$page")"

step "it signs in, and each look at the page counts a visit: 1, 2, 3"
sign_in first "Ada"
expect "Hello, <span id=\"who\">Ada</span>"
expect_visits 1
browser first "$url/"
expect_visits 2
browser first "$url/"
expect_visits 3
expect_sessions 1

step "scripts cannot read its cookie"
grep -q '^#HttpOnly_' "$browsers/first" || fail "the cookie is not HttpOnly"

step "a second browser signs in under the same name: two sessions, each with its own count"
sign_in second "Ada"
expect_visits 1
expect_sessions 2
browser first "$url/"
expect_visits 4
expect_sessions 2

step "the second signs out: it is asked who it is, the first sees one session"
old_cookie=$(cookie_of second)
sign_out second
expect "Who are you?"
browser first "$url/"
expect_visits 5
expect_sessions 1

step "the cookie of the browser that signed out is refused"
[ -n "$old_cookie" ] || fail "the second browser had no cookie"
browser third --header "Cookie: session=$old_cookie; demo_session=$old_cookie" "$url/"
expect "Who are you?"

step "signing in again gives the browser a new id"
old_cookie=$(cookie_of first)
sign_in first "Ada"
expect_visits 1
expect_sessions 1
[ "$(cookie_of first)" != "$old_cookie" ] || fail "the id is the one from before the sign-in"

step "quotes and markup in a name are escaped"
sign_in second "O'Brien \"<script>alert(1)</script>\" & Söhne; DROP TABLE sessions; \\"
expect "Hello, <span"
expect "O&#39;Brien &quot;&lt;script&gt;alert(1)&lt;/script&gt;&quot; &amp; S"
expect_no "<script"
expect_sessions 1

step "an empty name, and bytes that are not UTF-8, are refused"
sign_in third "   "
expect "status 400"
browser third --header "Origin: $url" --data "name=%FF%FE" "$url/sign-in"
expect "status 400"

step "three browsers under one name: one signs the others out"
for name in one two three; do
  sign_in "$name" "Grace"
done
expect_sessions 3
sign_out_others two
expect_sessions 1
for name in one three; do
  browser "$name" "$url/"
  expect "Who are you?"
done

step "the metrics have counted the operations"
browser two "$url/metrics"
expect 'resty_session_postgres_operations_total{kind="set",outcome="ok"}'

step "a form from another site is refused"
browser first --header "Origin: http://elsewhere.example" --data "" "$url/sign-out"
expect "status 403"
browser first --header "Sec-Fetch-Site: cross-site" --header "Origin: $url" --data "" "$url/sign-out"
expect "status 403"
browser first --data "" "$url/sign-out"
expect "status 403"
browser first "$url/"
expect_visits 2

step "nginx has logged no warning"
! grep -E '\[(warn|error|crit|alert|emerg)\]' "$error_log" >&2 || fail "error.log is not clean"

echo "All checks passed."
