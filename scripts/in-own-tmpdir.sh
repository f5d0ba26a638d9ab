#!/usr/bin/env bash
# Runs a command with a new TMPDIR, which is removed when the command exits for any reason.
set -euo pipefail

TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/rsp.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# The servers of the tests may run as another user, who needs access to their files in it.
chmod 755 "$TMPDIR"

"$@"
