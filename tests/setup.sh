#!/usr/bin/env bash
# Installs what `make check` and `make test` need and this machine lacks. Safe to run again; says nothing when all is
# there. `setup.sh inferno` adds what draws flame graphs, `setup.sh release` what a release is checked with. Node
# and Go are not installed: examples in languages that are not here are not run.
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/spectrum-webhook"
export PATH="$cache/bin:$PATH"
cargo_deny=0.20.2
inferno=0.12.8
cargo_cyclonedx=0.5.9
cargo_about=0.9.3

if ! command -v cargo > /dev/null; then
    echo "a Rust toolchain is needed: https://rustup.rs" >&2
    exit 1
fi

packages=()
# SQLite and the cryptography are C: a compiler builds them.
command -v cc > /dev/null || packages+=(gcc libc6-dev)
# The fuzzer is C++.
command -v c++ > /dev/null || packages+=(g++)
# What calls the API as its description says, and what judges the manifests, is written in Python.
python3 -c 'import ensurepip, venv' 2> /dev/null || packages+=(python3 python3-venv)
# A browser looks at the dashboard.
command -v chromium > /dev/null || packages+=(chromium)
command -v chromedriver > /dev/null || packages+=(chromium-driver)
# What checks metrics, alerts and the queries of the dashboard.
command -v promtool > /dev/null || packages+=(prometheus)
# The services of a cluster. Tests start private ones; those of the system are neither used nor started.
[[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || packages+=(rabbitmq-server)
command -v redis-server > /dev/null || packages+=(redis-server)
compgen -G '/usr/lib/postgresql/*/bin/postgres' > /dev/null || packages+=(postgresql)

if ((${#packages[@]})); then
    if ! command -v apt-get > /dev/null; then
        echo "please install: ${packages[*]} (these are Debian's names)" >&2
        exit 1
    fi
    as_root=$([[ $(id -u) == 0 ]] || echo sudo)
    echo "installing ${packages[*]}"
    # What is installed would be started otherwise, and PostgreSQL would make a first database.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap '$as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" > /dev/null
        $as_root chmod 755 "$policy"
    fi
    if [[ " ${packages[*]} " == *" postgresql "* && ! -e /etc/postgresql-common/createcluster.conf ]]; then
        $as_root mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.conf > /dev/null
    fi
    $as_root apt-get update --quiet=2
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
        -o Dpkg::Options::=--force-confold "${packages[@]}"
fi

if [[ "$(cargo-deny --version 2> /dev/null || true)" != "cargo-deny $cargo_deny" ]]; then
    echo "building cargo-deny $cargo_deny into $cache, once"
    cargo install --quiet --locked --root "$cache" --target-dir "$cache/target" --version "$cargo_deny" cargo-deny
    rm -rf "$cache/target"
fi

if [[ "${1:-}" == inferno && ! -e "$cache/bin/inferno-flamegraph" ]]; then
    echo "building inferno $inferno into $cache, once"
    cargo install --quiet --locked --root "$cache" --target-dir "$cache/target" --version "$inferno" inferno
    rm -rf "$cache/target"
fi

# In a folder of its own, with all that it needs, in these versions: `python_tools NAME REQUIREMENTS`.
python_tools() {
    if ! cmp --quiet "$2" "$cache/$1/requirements.txt"; then
        echo "installing what $2 names into $cache/$1, once"
        rm -rf "${cache:?}/$1"
        python3 -m venv "$cache/$1"
        "$cache/$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
        cp "$2" "$cache/$1/requirements.txt"
    fi
}
python_tools api tests/api/requirements.txt
python_tools deploy tests/deploy/requirements.txt

if [[ "${1:-}" == release ]]; then
    for tool in "cargo-cyclonedx $cargo_cyclonedx" "cargo-about $cargo_about --features cli"; do
        read -r name version features <<< "$tool"
        [[ "$(cargo "${name#cargo-}" --version 2> /dev/null || true)" != *" $version" ]] || continue
        echo "building $name $version into $cache, once"
        # shellcheck disable=SC2086 # two words, or none
        cargo install --quiet --locked --root "$cache" --target-dir "$cache/target" --version "$version" "$name" $features
    done
    rm -rf "$cache/target"
    python_tools release release/requirements.txt
fi
