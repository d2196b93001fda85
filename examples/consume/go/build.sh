#!/usr/bin/env bash
# Makes the consumers in Go: `build.sh FOLDER` puts the programs events and raw into FOLDER.
#
# Go's classes of proto/ are made by protoc (pip install grpcio-tools) and by the protoc-gen-go of go.mod, in a copy
# of this folder. PYTHON and GO name others than those on the path.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$here/../../../proto
go=${GO:-go} python=${PYTHON:-python3}
[ $# -eq 1 ] || {
    echo "usage: build.sh FOLDER" >&2
    exit 2
}

mkdir -p "$1"
out=$(cd "$1" && pwd)
export CGO_ENABLED=0 GOTOOLCHAIN=local
module=$(mktemp -d)
trap 'rm -rf "$module"' EXIT
cp -r "$here/." "$module"
"$go" -C "$module" build google.golang.org/protobuf/cmd/protoc-gen-go
"$python" -m grpc_tools.protoc "-I$proto" "--plugin=$module/protoc-gen-go" "--go_out=$module" --go_opt=module=landfall \
    landfall/v1/envelope.proto landfall/v1/event.proto
"$go" -C "$module" build -o "$out/" ./events ./raw
