#!/usr/bin/env bash
# Runs the fuzz targets: `run.sh SECONDS [TARGET…]`, each for so long, two at a time; without targets all of them. With
# 0 seconds they only read the kept corpus again. libFuzzer is built by the toolchain's C++ compiler, and the flags
# below are those of `cargo fuzz --sanitizer none`: no nightly toolchain and no cargo-fuzz is needed. The workspace
# forbids `unsafe`, so that a sanitizer would watch other people's code alone.
#
# What is found on the way is kept in target/fuzz/corpus, and an input that breaks a target in target/fuzz/artifacts:
# `target/fuzz/HOST/release/TARGET FILE` runs it again.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?how many seconds for each target}
shift
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-../../target}")/fuzz
host=$(rustc --version --verbose | sed -n 's/^host: //p')

targets=("$@")
if ((${#targets[@]} == 0)); then
    for file in targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

export CARGO_TARGET_DIR=$target_dir CARGO_INCREMENTAL=0
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --quiet --locked --release --target "$host" "${targets[@]/#/--bin=}"

mkdir -p "$target_dir/artifacts"
fuzz() {
    local target=$1 log=$target_dir/$1.log options=(-max_total_time="$seconds")
    [[ $seconds == 0 ]] && options=(-runs=0)
    [[ -e dictionaries/$target ]] && options+=(-dict="dictionaries/$target")
    mkdir -p "$target_dir/corpus/$target"
    # A second for one input, and half a gigabyte of memory, are far more than any of them needs.
    if ! "$target_dir/$host/release/$target" "$target_dir/corpus/$target" "corpus/$target" "${options[@]}" -timeout=1 \
        -rss_limit_mb=512 -max_len=4096 -print_final_stats=1 -artifact_prefix="$target_dir/artifacts/$target-" &> "$log"; then
        tail -40 "$log" >&2
        echo "$target: broken, see $log" >&2
        return 1
    fi
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs," \
        "$(grep -o 'cov: [0-9]*' "$log" | tail -1)"
}
export -f fuzz
export target_dir host seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c 'fuzz {}'
