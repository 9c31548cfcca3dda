#!/usr/bin/env bash
# Installs what `make check` and `make test` need and this machine lacks. Safe to run again; says nothing when all is
# there. Python, Node and Go are not installed: examples in languages that are not here are not run.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/spectrum-webhook"
export PATH="$cache/bin:$PATH"
cargo_deny=0.20.2

if ! command -v cargo > /dev/null; then
    echo "a Rust toolchain is needed: https://rustup.rs" >&2
    exit 1
fi

# SQLite and the cryptography are C: a compiler builds them.
if ! command -v cc > /dev/null; then
    if ! command -v apt-get > /dev/null; then
        echo "a C compiler (cc) is needed" >&2
        exit 1
    fi
    as_root=$([[ $(id -u) == 0 ]] || echo sudo)
    $as_root apt-get update --quiet=2
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends gcc libc6-dev
fi

if [[ "$(cargo-deny --version 2> /dev/null || true)" != "cargo-deny $cargo_deny" ]]; then
    echo "building cargo-deny $cargo_deny into $cache, once"
    cargo install --quiet --locked --root "$cache" --target-dir "$cache/target" --version "$cargo_deny" cargo-deny
    rm -rf "$cache/target"
fi
