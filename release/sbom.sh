#!/usr/bin/env bash
# Writes what the program is built from, as CycloneDX: `release/sbom.sh FILE`. The same commit gives the same bytes. The
# file is checked against the schema of its version.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/spectrum-webhook"
export PATH="$cache/bin:$PATH"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# It writes beside each manifest: into a clone.
git clone --quiet --shared --no-tags . "$work/source"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
cargo cyclonedx --quiet --format json --spec-version 1.5 --target x86_64-unknown-linux-gnu \
    --manifest-path "$work/source/Cargo.toml"
mkdir -p "$(dirname "$1")"
"$cache/release/bin/python" release/sbom.py "$work/source" "$work/source/crates/spectrum-webhook/spectrum-webhook.cdx.json" > "$work/sbom"
mv "$work/sbom" "$1"
