# `make` lists what there is. Everything needs a Rust toolchain and a C compiler; `tests/setup.sh` installs what else
# is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A simulation is replayed by its seed.
SEED ?=
SEEDS ?= 2000
# How long chaos lasts, and which of its faults there are; all when it is empty.
MINUTES ?= 5
ONLY ?=
# How long each fuzz target runs, and which; all when it is empty.
SECONDS ?= 60
TARGET ?=
# Which measures of the benchmark, and which backends; all when it is empty. Other flags of its suite. What it is
# compared with, and by which measures when none are named.
MEASURES ?=
BACKENDS ?=
ROUNDS ?= 3
FLAGS ?=
BASE ?=
COMPARED := throughput,latency,lane
comma := ,
# Checks of a release that are left out.
SKIP ?=
# Made-up calls of each operation of the API, and their seed.
CASES ?= 200

export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/spectrum-webhook/bin:$(PATH)

.PHONY: help demo demo-cluster up down test check audit sim chaos fuzz api manifests screenshots watch-pictures bench bench-compare flame sbom release-check setup

help: ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | column -t -s $$'\t'

demo: ## Events through failing URLs and a kill -9, checked by an independent verifier (under two minutes)
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	@cargo run --quiet --package spectrum-webhook --bin spectrum-webhook -- demo

demo-cluster: setup ## The same on RabbitMQ, Redis and PostgreSQL: two ingests, three dispatchers, one of them killed
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	@cargo run --quiet --package spectrum-webhook-testkit --bin stack -- run -- \
		"$${CARGO_TARGET_DIR:-target}/debug/spectrum-webhook" demo --cluster

up: setup ## RabbitMQ, Redis and PostgreSQL in the background, from the installed programs
	@cargo run --quiet --package spectrum-webhook-testkit --bin stack -- up

down: ## Stops them, and forgets what they hold
	@cargo run --quiet --package spectrum-webhook-testkit --bin stack -- down

# The system tests run the binary that this builds, so that they need not build another one.
test: setup ## All tests
	cargo test --workspace --no-run
	WEBHOOK_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/spectrum-webhook" cargo test --workspace --no-fail-fast
	tests/fuzz/run.sh 2

check: setup ## Format, clippy, dependencies' licences and sources, documentation
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo deny --workspace check --hide-inclusion-graph bans licenses sources
	cargo deny --manifest-path tests/fuzz/Cargo.toml --config deny.toml --log-level error check bans licenses sources
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --quiet

audit: setup ## The same for known vulnerabilities; needs the internet
	cargo deny --workspace check --hide-inclusion-graph bans licenses sources advisories

sim: ## The simulation: SEEDS=n of them, or one SEED=n again (docs/simulation.md)
	cargo run --release --package spectrum-webhook-sim -- $(if $(SEED),--seed $(SEED) --seeds $(if $(filter command line,$(origin SEEDS)),$(SEEDS),1),--seeds $(SEEDS))

chaos: setup ## Faults on a real cluster under load, and an oracle: MINUTES=n, SEED=n, ONLY=kind,kind (docs/chaos.md)
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	@WEBHOOK_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/spectrum-webhook" \
		cargo run --quiet --package spectrum-webhook-chaos --bin chaos -- --seconds $$(( $(MINUTES) * 60 )) \
		$(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) \
		--report "$${CARGO_TARGET_DIR:-target}/chaos"

fuzz: setup ## Fuzz targets for what is parsed from outside: SECONDS=n for each, TARGET=name (docs/hostile-input.md)
	tests/fuzz/run.sh $(SECONDS) $(TARGET)

api: setup ## Calls made up by the API's description: CASES=n for each operation, SEED=n
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	WEBHOOK_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/spectrum-webhook" API_CASES=$(CASES) API_SEED=$(SEED) \
		cargo test --package spectrum-webhook-tests --test system api:: -- --nocapture

manifests: setup ## The image's recipe, the Kubernetes manifests and the Helm chart: rendered, validated, settings checked
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	WEBHOOK_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/spectrum-webhook" \
		cargo test --quiet --package spectrum-webhook-tests --test manifests -- --nocapture

screenshots: setup ## Pictures of the dashboard's main pages, into docs/pictures (three minutes)
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	@mkdir -p docs/pictures
	WEBHOOK_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/spectrum-webhook" SCREENSHOTS="$$(realpath docs/pictures)" \
		cargo test --package spectrum-webhook-tests --test system dashboard::pictures -- --nocapture

watch-pictures: setup ## Pictures of the Grafana dashboard's panels over a real run, into docs/pictures (five minutes)
	@cargo build --quiet --package spectrum-webhook --bin spectrum-webhook
	WEBHOOK_BINARY="$$(realpath "$${CARGO_TARGET_DIR:-target}")/debug/spectrum-webhook" WATCH_PICTURES="$$(realpath docs/pictures)" \
		cargo test --package spectrum-webhook-tests --test system watching::dashboard:: -- --nocapture

bench: setup ## The release build beside the limit of this machine: MEASURES=name,name BACKENDS=name ROUNDS=n (docs/performance.md)
	@cargo build --release --quiet --package spectrum-webhook --package spectrum-webhook-bench --bins
	@"$${CARGO_TARGET_DIR:-target}/release/spectrum-webhook-bench" suite --rounds $(ROUNDS) \
		$(if $(MEASURES),--only $(MEASURES)) $(if $(BACKENDS),--backends $(BACKENDS)) \
		--out "$${CARGO_TARGET_DIR:-target}/bench" $(FLAGS)

bench-compare: setup ## Two builds in one run, alternating: BASE=commit MEASURES=name,name BACKENDS=name ROUNDS=n
	@tests/bench/compare.sh "$(BASE)" --rounds $(ROUNDS) \
		--only $(or $(MEASURES),$(COMPARED)) $(if $(BACKENDS),--backends $(BACKENDS)) $(FLAGS)

flame: setup ## Where the processor time goes: a flame graph of each process: BACKENDS=name (needs perf)
	@tests/bench/flame.sh $(subst $(comma), ,$(or $(BACKENDS),embedded cluster))

sbom: ## What the program is built from, as CycloneDX, and the licences of all of it: into target/release-check/files
	@tests/setup.sh release
	@SKIP= release/check.sh sbom notices

release-check: ## Whether the last commit can be released: a table of what holds; SKIP="audit build" leaves some out
	@tests/setup.sh release
	@SKIP="$(SKIP)" release/check.sh

setup:
	@tests/setup.sh
