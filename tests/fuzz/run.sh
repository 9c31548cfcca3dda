#!/usr/bin/env bash
# Runs the fuzz targets: `run.sh SECONDS [TARGET…]`, each for so long, two at a time; without targets all of them. With
# 0 seconds they only read the kept corpus again. `run.sh merge [TARGET…]` takes into the kept corpus what adds coverage
# of all that was found.
#
# libFuzzer is built by the machine's C++ compiler, and the flags below are those of `cargo fuzz --sanitizer none`: no
# nightly toolchain and no cargo-fuzz is needed. The workspace forbids `unsafe`, so that a sanitizer would watch other
# people's code alone.
#
# What is found on the way is kept in target/fuzz/corpus, and an input that breaks a target in target/fuzz/artifacts:
# `target/fuzz/HOST/release/TARGET FILE` runs it again.
set -euo pipefail
cd "$(dirname "$0")"

mode=${1:?how many seconds for each target, or merge}
shift
out=$(realpath -m "${CARGO_TARGET_DIR:-../../target}")/fuzz
host=$(rustc --version --verbose | sed -n 's/^host: //p')

targets=("$@")
if ((${#targets[@]} == 0)); then
    for file in targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" CARGO_TARGET_DIR=$out CARGO_INCREMENTAL=0 \
    cargo build --quiet --locked --release --target "$host" "${targets[@]/#/--bin=}"

# One target: what it did, in a line; the end of its log when it breaks.
run() {
    local target=$1 log=$out/$1.log found=$out/corpus/$1 options=() statistics
    mkdir -p "$found" "$out/artifacts"
    # Ten seconds for one input, and half a gigabyte of memory, are far more than any of them needs.
    options+=(-timeout=10 -rss_limit_mb=512 -max_len=4096 -print_final_stats=1 -artifact_prefix="$out/artifacts/$target-")
    [[ -e dictionaries/$target ]] && options+=(-dict="dictionaries/$target")
    case $mode in
        merge)
            # By coverage alone: by how often, too, it would be five times as many.
            local merged
            merged=$(mktemp -d "$out/merged.XXXXXX")
            "$out/$host/release/$target" -set_cover_merge=1 -use_counters=0 "${options[@]}" "$merged" "corpus/$target" "$found" &> "$log"
            rm -rf "corpus/$target"
            mv "$merged" "corpus/$target"
            chmod 755 "corpus/$target"
            echo "$target: $(ls "corpus/$target" | wc -l) inputs kept"
            return
            ;;
        0) options+=(-runs=0) ;;
        *) options+=(-max_total_time="$mode") ;;
    esac
    if ! "$out/$host/release/$target" "${options[@]}" "$found" "corpus/$target" &> "$log"; then
        tail -n 60 "$log" >&2
        echo "$target: broken; its log is $log" >&2
        return 1
    fi
    statistics=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$target: $statistics inputs, $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
}
export -f run
export out host mode
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c 'set -euo pipefail; run {}'
