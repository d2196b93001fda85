#!/usr/bin/env bash
# What `make test` could not do on this machine, in its last line: `not_run.sh WHAT WHY` notes something,
# `begin` forgets what was noted, `end` tells it. Tests note theirs through tests::not_run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
notes=${CARGO_TARGET_DIR:-$root/target}/tmp/not-run

case ${1:-} in
    begin) rm -f "$notes" ;;
    end)
        if [ -s "$notes" ]; then
            sort -u "$notes" | sed 's/^/== NOT RUN HERE: /'
        else
            echo '== everything was run'
        fi
        ;;
    *)
        mkdir -p "$(dirname "$notes")"
        echo "$1: $2" | tee -a "$notes"
        ;;
esac
