#!/usr/bin/env bash
# Runs a command with a temporary folder of its own, which is removed however the command ends.
set -euo pipefail

TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/rsp.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# The servers of the tests may run as another user, who has to get at their files in here.
chmod 755 "$TMPDIR"

"$@"
