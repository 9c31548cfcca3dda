#!/usr/bin/env bash
# Whether the last commit can be released: each check for itself, then a table. All of them, or those that are named:
#
#     release/check.sh
#     release/check.sh tree version
#
# SKIP="audit" leaves some out, and the table says so. What a release consists of is left in target/release-check/files.
set -uo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/spectrum-webhook"
export PATH="$cache/bin:$PATH"
out=${CARGO_TARGET_DIR:-$PWD/target}/release-check
files=$out/files
program=${PROGRAM:-$files/spectrum-webhook}

version() { sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml; }

# Each says why on its standard output when it fails.

tree() { # nothing is changed and not committed
    local changed
    changed=$(git status --porcelain)
    [[ -z $changed ]] || { printf 'commit these, or take them away:\n%s\n' "$changed"; return 1; }
}

version_of_crates() { # all crates have the workspace's version and its licence, and none is published
    local metadata
    metadata=$(cargo metadata --no-deps --format-version 1 --offline 2>&1) || { tail -n 5 <<< "$metadata"; return 1; }
    python3 -c '
import json, sys
wanted = sys.argv[1]
wrong = [
    "{name}: {version}, {license}, publish = {publish}".format(**package)
    for package in json.load(sys.stdin)["packages"]
    if (package["version"], package["license"], package["publish"]) != (wanted, "MIT OR Apache-2.0", [])
]
print("\n".join(wrong))
sys.exit(bool(wrong))' "$(version)" <<< "$metadata"
}

version_elsewhere() { # the image, the manifests, the chart and the documents name this version too
    local wanted wrong
    wanted=$(version)
    wrong=$(sed -nE \
        -e 's/^ARG VERSION="(.*)"$/\1/p' -e 's/.*newTag: ([0-9.]+)}.*/\1/p' -e 's/^(version|appVersion): "?([0-9.]+)"?$/\2/p' \
        -e 's/.*spectrum-webhook:([0-9]+\.[0-9]+\.[0-9]+).*/\1/p' -e 's/.*spectrum-webhook, tag: ([0-9.]+)}.*/\1/p' \
        deploy/docker/Dockerfile deploy/kubernetes/overlays/production/kustomization.yaml \
        deploy/helm/spectrum-webhook/Chart.yaml docs/kubernetes.md | grep -vxF "$wanted")
    [[ -z $wrong ]] || { echo "Cargo.toml has $wanted; in deploy or docs/kubernetes.md stands" $wrong; return 1; }
}

changelog() { # its newest heading is this version, with the day of the release
    local heading
    heading=$(grep -m 1 '^## \[' CHANGELOG.md)
    case $heading in
        "## [$(version)] - "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;;
        "## [$(version)]"*) echo "CHANGELOG.md says \`$heading\`: put the day of the release there"; return 1 ;;
        *) echo "CHANGELOG.md begins with \`$heading\`, and Cargo.toml has $(version)"; return 1 ;;
    esac
}

tag() { # v and the version is free, or this commit's
    local at
    at=$(git rev-parse --quiet --verify "refs/tags/v$(version)^{commit}") || return 0
    [[ $at == "$(git rev-parse HEAD)" ]] || { echo "v$(version) is the tag of $at: raise the version"; return 1; }
}

lock() { # Cargo.lock is what Cargo.toml asks for
    local manifest
    for manifest in Cargo.toml tests/fuzz/Cargo.toml; do
        cargo metadata --locked --format-version 1 --manifest-path "$manifest" 2>&1 > /dev/null | tail -n 5
        [[ ${PIPESTATUS[0]} == 0 ]] || { echo "bring $manifest's lock file up to date: cargo check"; return 1; }
    done
}

licences() { # of dependencies, and where they come from
    cargo deny --log-level error --workspace check --hide-inclusion-graph bans licenses sources 2>&1
}

audit() { # no dependency has a known vulnerability; needs the internet
    cargo deny --log-level error --workspace check --hide-inclusion-graph advisories 2>&1
}

documentation() { # of the crates; commands, settings and links in the documents
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --quiet 2>&1 &&
        cargo test --quiet --package spectrum-webhook-tests --test docs 2>&1 &&
        cargo test --quiet --package spectrum-webhook --lib documented_tests 2>&1
}

build() { # twice, in two places: the same bytes
    rm -rf "$out"
    mkdir -p "$files"
    release/build.sh "$out/one" 2>&1 && release/build.sh "$out/in/another/place" 2>&1 || return 1
    local one=$out/one/target/release/spectrum-webhook other=$out/in/another/place/target/release/spectrum-webhook
    cp LICENSE-MIT LICENSE-APACHE "$one" "$files"
    cmp "$one" "$other" || { echo "two builds of this commit differ: $(sha256sum "$one" "$other")"; return 1; }
    if grep --quiet --text --fixed-strings -e "$out" -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}/" "$one"; then
        echo "the program has paths of this machine in it"
        return 1
    fi
}

says() { # the program says its version
    local said
    said=$("$program" --version 2>&1)
    [[ " $said " == *" $(version) "* ]] || { echo "$program --version says \`$said\`, and Cargo.toml $(version)"; return 1; }
}

openapi() { # docs/openapi.json is what the program prints
    "$program" openapi | cmp - docs/openapi.json || { echo "spectrum-webhook openapi > docs/openapi.json"; return 1; }
}

sbom() { # made twice, the same; and valid
    mkdir -p "$files"
    release/sbom.sh "$files/spectrum-webhook.cdx.json" 2>&1 && release/sbom.sh "$out/again.cdx.json" 2>&1 &&
        cmp "$files/spectrum-webhook.cdx.json" "$out/again.cdx.json"
}

notices() { # the licences of all that is in the program
    mkdir -p "$files"
    release/notices.sh "$files/THIRD-PARTY.md" 2>&1
}

checks=(tree version_of_crates version_elsewhere changelog tag lock licences audit documentation build says openapi sbom notices)
(($#)) || set -- "${checks[@]}"

failed=0 table=
row() { printf -v row '%-8s  %-17s  %s\n' "$@" && table+=$row; }
for check in "$@"; do
    if ! [[ " ${checks[*]} " == *" $check "* ]]; then
        echo "no check is called $check; there are: ${checks[*]}" >&2
        exit 2
    fi
    what=$(sed -n "s/^$check() { # //p" "$0")
    if [[ " ${SKIP:-} " == *" $check "* ]]; then
        row "left out" "$check" "$what"
    elif said=$($check); then
        row ok "$check" "$what"
    else
        failed=$((failed + 1))
        row FAILED "$check" "$what"
        printf '%s:\n%s\n\n' "$check" "$said"
    fi
done
printf '%s' "$table"
if ((failed)); then
    echo "$(version) cannot be released: $failed of $# failed"
    exit 1
fi
echo "$(version) holds what was looked at"
