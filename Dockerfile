# Landfall's image: `docker build -t landfall .`, for amd64 and arm64.
#
# The first stage builds the programs and lays out the whole root file system of the image in /out; the
# last one only copies it.

FROM rust:1.95.0-bookworm AS build

# They are in the base image already; the image shall have the newest that Debian has of them.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /landfall

# The dependencies, a layer of their own: built from the manifests and empty sources, it is good until a
# manifest changes. A cache mount would do the same, but stays on one machine and needs BuildKit; a layer
# goes into every builder's cache, also a registry's. What was built of the empty sources is removed:
# copied files keep the times that they had, so Cargo might take it for newer than the real ones.
COPY Cargo.toml Cargo.lock ./
COPY proto/Cargo.toml proto/
COPY bridge/Cargo.toml bridge/
COPY bridge/parse/Cargo.toml bridge/parse/
COPY gateway/Cargo.toml gateway/
COPY examples/device-sim/Cargo.toml examples/device-sim/
COPY tests/Cargo.toml tests/
RUN set -eu; \
    for package in proto bridge bridge/parse gateway examples/device-sim tests; do \
        mkdir -p "$package/src"; \
        touch "$package/src/lib.rs"; \
    done; \
    for program in proto/build.rs gateway/src/main.rs examples/device-sim/src/main.rs; do \
        echo 'fn main() {}' >"$program"; \
    done; \
    cargo build --release --locked --package gateway --package device-sim; \
    cargo clean --release --package proto --package bridge --package gateway --package device-sim; \
    rm -r proto bridge gateway examples tests

COPY . .
# A build has no use for the crate `tests` but its manifest, which the workspace names.
RUN set -eu; \
    mkdir -p tests/src; \
    touch tests/src/lib.rs; \
    cargo build --release --locked --package gateway --package device-sim

# The root file system: the programs, the libraries that they load and nothing else that can be run.
# - OpenSSL's legacy algorithms are for `ssl.providers: default,legacy`, which old PKCS#12 files need.
# - OpenSSL (Kafka) looks for authorities and settings where `openssl version -d` says; rustls (object
#   stores) looks for /etc/ssl/certs/ca-certificates.crt.
# - glibc reads DNS and /etc/hosts without further libraries.
RUN set -eu; \
    root=/out/root; \
    mkdir -p /out/data/landfall "$root/var/lib" "$root/etc/landfall" "$root/etc/ssl/certs" "$root/usr/local/bin"; \
    for program in landfall device-sim; do \
        objcopy --strip-debug "target/release/$program" "$root/usr/local/bin/$program"; \
    done; \
    legacy=$(openssl version -m | cut -d '"' -f 2)/legacy.so; \
    install -D -m 644 "$legacy" "$root$legacy"; \
    libraries=$(ldd target/release/landfall target/release/device-sim "$legacy"); \
    if echo "$libraries" | grep 'not found'; then exit 1; fi; \
    echo "$libraries" | awk '$2 == "=>" { print $3 } NF == 2 && $1 ~ /^\// { print $1 }' | sort -u | \
        while read -r library; do install -D -m 755 "$library" "$root$library"; done; \
    settings=$(openssl version -d | cut -d '"' -f 2); \
    mkdir -p "$root$settings"; \
    ln -s /etc/ssl/certs "$root$settings/certs"; \
    ln -s /etc/ssl/certs/ca-certificates.crt "$root$settings/cert.pem"; \
    ln -s /etc/ssl/openssl.cnf "$root$settings/openssl.cnf"; \
    install -m 644 /etc/ssl/openssl.cnf "$root/etc/ssl/"; \
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; \
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"; \
    echo 'root:x:0:0:root:/:/sbin/nologin' >"$root/etc/passwd"; \
    echo 'landfall:x:65532:65532:Landfall:/var/lib/landfall:/sbin/nologin' >>"$root/etc/passwd"; \
    echo 'root:x:0:' >"$root/etc/group"; \
    echo 'landfall:x:65532:' >>"$root/etc/group"

FROM scratch

# `--build-arg REVISION=$(git rev-parse HEAD)`
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Landfall" \
      org.opencontainers.image.description="Lands device messages in Kafka, acknowledged only when durable" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /out/root/ /
# The one folder that is the user's: a new volume that is mounted there takes its owner from it.
COPY --from=build --chown=65532:65532 /out/data/ /var/lib/
COPY LICENSE /licenses/

USER 65532:65532
WORKDIR /var/lib/landfall
EXPOSE 1883 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/landfall"]
CMD ["run", "--config", "/etc/landfall/landfall.yaml"]
