#!/usr/bin/env bash
# Writes the licences of all that the program is built from: `release/notices.sh FILE`. Whoever passes the program on
# passes this on with it.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/spectrum-webhook/bin:$PATH"

mkdir -p "$(dirname "$1")"
cargo about -L error generate --locked --offline --fail --config release/about.toml \
    --manifest-path crates/spectrum-webhook/Cargo.toml --output-file "$1" release/third-party.hbs
