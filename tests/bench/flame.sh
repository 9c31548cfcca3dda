#!/usr/bin/env bash
# Records a profile of each of the product's processes under load and draws it as a flame graph:
# flame.sh [embedded] [cluster]. SECONDS_EACH is how long.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/spectrum-webhook"
export PATH="$cache/bin:$PATH"

if ! command -v perf > /dev/null || ! perf --version > /dev/null 2>&1; then
    echo "perf is needed: Debian has it in the package linux-perf" >&2
    exit 1
fi
tests/setup.sh inferno

target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
# Frame pointers make stacks readable, and cost little. A target folder of its own: with other flags everything differs.
RUSTFLAGS="-C force-frame-pointers=yes" CARGO_TARGET_DIR="$target/profiling" \
    cargo build --quiet --profile profiling --package spectrum-webhook --package spectrum-webhook-bench --bins
programs="$target/profiling/profiling"

for backend in "${@:-embedded}"; do
    folder="$target/flame/$backend"
    rm -rf "$folder"
    "$programs/spectrum-webhook-bench" once --backend "$backend" --rounds 1 --seconds "${SECONDS_EACH:-12}" --perf "$folder"
    for data in "$folder"/*.data; do
        role="$(basename "$data" .data)"
        perf script --input "$data" 2> /dev/null \
            | inferno-collapse-perf 2> /dev/null \
            | inferno-flamegraph --title "$role, $backend" > "$folder/$role.svg"
        echo "$folder/$role.svg"
    done
done
