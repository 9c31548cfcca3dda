#!/usr/bin/env bash
# Builds a commit beside this working copy and measures both in one run, alternating: compare.sh COMMIT [suite's flags]
set -euo pipefail
cd "$(dirname "$0")/../.."

base="${1:-}"
if [[ -z $base ]]; then
    echo "which commit? make bench-compare BASE=commit" >&2
    exit 2
fi
shift
commit="$(git rev-parse --verify --quiet "$base^{commit}")" || { echo "there is no commit $base" >&2; exit 2; }
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
tree="$target/bench-base/tree"

echo "building ${commit:0:12}"
mkdir -p "$target/bench-base"
if [[ -e $tree/.git ]]; then
    git -C "$tree" checkout --quiet --detach "$commit"
else
    # Also where one was that was removed by hand.
    git worktree add --quiet --force --detach "$tree" "$commit"
fi
# A target folder of its own, which is kept: the next comparison builds what differs.
(cd "$tree" && CARGO_TARGET_DIR="$target/bench-base/target" cargo build --release --quiet --package spectrum-webhook --bin spectrum-webhook)

echo "building this working copy"
CARGO_TARGET_DIR="$target" cargo build --release --quiet --package spectrum-webhook --package spectrum-webhook-bench --bins
"$target/release/spectrum-webhook-bench" suite \
    --base "$target/bench-base/target/release/spectrum-webhook" --out "$target/bench-compare" "$@"
