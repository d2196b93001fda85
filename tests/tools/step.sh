#!/usr/bin/env bash
# Runs one step of `make test` and says how long it took: `step.sh NAME COMMAND…`.
set -u
name=$1
shift
echo "== $name"
begin=$SECONDS
"$@"
code=$?
if [ "$code" -eq 0 ]; then
    echo "== $name: $((SECONDS - begin)) s"
else
    echo "== $name FAILED after $((SECONDS - begin)) s (exit code $code): $*" >&2
fi
exit "$code"
