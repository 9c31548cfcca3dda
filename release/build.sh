#!/usr/bin/env bash
# Builds the release of the last commit, from a clone of it: `release/build.sh FOLDER`. The program is then
# FOLDER/target/release/spectrum-webhook, the same bytes wherever FOLDER is: no path of this machine and no time but the
# commit's gets into it. Toolchain and C compiler have to be the same.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p "$1"
folder=$(realpath "$1")
rm -rf "$folder/source" "$folder/target"
git clone --quiet --shared --no-tags . "$folder/source"
cargo_home=${CARGO_HOME:-$HOME/.cargo}

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
RUSTFLAGS=
CFLAGS=
for path in "$folder/source=/source" "$folder/target=/target" "$cargo_home=/cargo"; do
    RUSTFLAGS+=" --remap-path-prefix=$path"
    CFLAGS+=" -ffile-prefix-map=$path"
done
export SOURCE_DATE_EPOCH RUSTFLAGS CFLAGS CARGO_INCREMENTAL=0
cd "$folder/source"
cargo build --quiet --release --locked --package spectrum-webhook --bin spectrum-webhook --target-dir "$folder/target"
