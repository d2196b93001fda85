# The commands of Landfall's developers. Each installs what is missing, or says what to install.

SHELL := /bin/bash
# Options for `landfall dev`, such as ARGS="--mqtt-port 1884".
ARGS ?=
# Simulated devices of `make dev`.
DEVICES ?= 10
# Which cells `make faults` plays, such as CELLS=gateway-killed,kafka-paused+storm; without it, all of them.
CELLS ?=
# How often each, from which seed on, and how many at once.
RUNS ?= 1
SEED ?= 1
JOBS ?= 2
# How long the cell `soak` talks, and with how many devices.
SOAK_SECONDS ?= 60
SOAK_DEVICES ?= 200
# Which faults `make mutants` puts into the gateway, such as MUTANTS=swapped; without it, all of them.
MUTANTS ?=
# Seeds that `make simulate` plays.
SEEDS ?= 1..100000
# Rebalances of each storm of `make rebalances`, what its fleet says in a second, and how many brokers are killed.
REBALANCES ?= 24
STORM_RATE ?= 200
BROKERS_KILLED ?= 9
# How long each fuzz target runs.
FUZZ_SECONDS ?= 60
# What `make bench` measures, such as ROWS=window50,paced20k; without it, everything.
ROWS ?=
# How often each row of `make bench` is measured, and for how long each time.
REPETITIONS ?= 3
BENCH_SECONDS ?= 4
# The herd of `make storm`, and what else it is told, such as STORM="--storms full,password".
STORM_DEVICES ?= 50000
STORM ?=
# The slow lane of `make backlog`: messages of 1 MiB, and of 64 MiB.
BACKLOG_SMALL ?= 2000
BACKLOG_LARGE ?= 20
# Which tests `make test` runs, such as TEST="--test promises durable".
TEST ?=

# Tests that run at once: most of them wait, for servers and for time to pass.
RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
export RUST_TEST_THREADS

step := tests/tools/step.sh

.PHONY: help dev test generate screenshots faults mutants simulate rebalances bench storm backlog fuzz

help:
	@echo 'make dev       a gateway with a Kafka inside and $(DEVICES) simulated devices (ARGS="--mqtt-port 1884" DEVICES=50)'
	@echo 'make test      formatting, lints and all tests, the end-to-end ones with real servers (TEST="--test promises durable")'
	@echo 'make generate  writes what is made of code: the chart'\''s schema, and tables in README, docs and ARCHITECTURE'
	@echo 'make screenshots  takes the pictures of the page for people in docs/images, which takes two minutes'
	@echo 'make faults    breaks what Landfall stands on, a cell at a time, and sees that nothing acknowledged is lost (CELLS=gateway-killed RUNS=3 SEED=7; CELLS=soak SOAK_SECONDS=600)'
	@echo 'make mutants   puts faults into the gateway, and sees that cells of `make faults` find them (MUTANTS=swapped)'
	@echo 'make simulate  the lane on a model of Kafka, with the faults of each seed, some hundreds in a second (SEEDS=1..10000000)'
	@echo 'make rebalances  parse roles that are killed, stopped and replaced $(REBALANCES) times, and brokers $(BROKERS_KILLED) times, while a fleet talks (REBALANCES=100)'
	@echo 'make bench     what Landfall costs beside mosquitto and a bare Kafka producer (ROWS=window50,paced20k REPETITIONS=3 BENCH_SECONDS=4)'
	@echo 'make storm     $(STORM_DEVICES) devices fall away at once and come back over TLS, while others publish (STORM_DEVICES=5000)'
	@echo 'make backlog   $(BACKLOG_SMALL) messages of 1 MiB and $(BACKLOG_LARGE) of 64 MiB become events in the slow pool, while others come in the fast one (BACKLOG_SMALL=100)'
	@echo 'make fuzz      every fuzz target for $(FUZZ_SECONDS) s (FUZZ_SECONDS=600)'

dev:
	@tests/tools/setup.sh build
	@[ -x "$${CARGO_TARGET_DIR:-target}/debug/landfall" ] || \
		echo 'The first build compiles all that Landfall is made of: about two minutes on two cores. Cargo says how far it is.'
	@cargo build -p gateway -p device-sim
	@exec "$${CARGO_TARGET_DIR:-target}/debug/landfall" dev --simulate $(DEVICES) $(ARGS)

# The end-to-end tests start the programs that `build` leaves in the target folder.
test:
	@tests/tools/not_run.sh begin
	@$(step) setup tests/tools/setup.sh test
	@$(step) format cargo fmt --all --check
	@$(step) dependencies tests/tools/dependencies.sh
	@$(step) lints cargo clippy --workspace --all-targets -- -D warnings
	@$(step) build cargo build --workspace --bins
	@$(step) 'build tests' cargo test --workspace --no-run
	@$(step) tests cargo test --workspace $(TEST)
	@tests/tools/not_run.sh end

# The tests compare what is committed with what this would write.
generate:
	@tests/tools/setup.sh build
	@cargo run --quiet -p tests --bin generate -- write

# The tests of the page take them, and see that they are of the page as it is.
screenshots:
	@$(step) setup tests/tools/setup.sh test
	@$(step) build cargo build --workspace --bins
	@LANDFALL_PICTURES=$(CURDIR)/docs/images $(step) screenshots cargo test --workspace --test surface -- page_live::

# What was played on this commit is not played again: an interrupted run goes on.
faults:
	@$(step) setup tests/tools/setup.sh test
	@$(step) build cargo build --workspace --bins
	@exec cargo run --quiet -p tests --bin faults -- run $(if $(CELLS),--cells=$(CELLS)) --runs=$(RUNS) --seed=$(SEED) \
		--jobs=$(JOBS) --soak-seconds=$(SOAK_SECONDS) --soak-devices=$(SOAK_DEVICES)

mutants:
	@$(step) setup tests/tools/setup.sh test
	@$(step) build cargo build --workspace --bins
	@exec cargo run --quiet -p tests --bin faults -- mutants $(if $(MUTANTS),--mutants=$(MUTANTS)) --seed=$(SEED)

# As the tests do it with a thousand seeds; the first that finds something ends it.
simulate:
	@$(step) setup tests/tools/setup.sh build
	@LANDFALL_SIMULATION_SEEDS=$(SEEDS) $(step) simulation cargo test --package bridge --lib -- --nocapture lane::simulation::whatever

# The storms of the parse role, as long as one likes: one after another, so that each has the machine.
rebalances:
	@$(step) setup tests/tools/setup.sh test
	@$(step) build cargo build --workspace --bins
	@LANDFALL_STORM_REBALANCES=$(REBALANCES) LANDFALL_STORM_RATE=$(STORM_RATE) LANDFALL_STORM_BROKERS=$(BROKERS_KILLED) \
		$(step) rebalances cargo test --workspace --test promises -- --nocapture --test-threads=1 parse::storms::

# The gateway is built as its users get it, by itself; the bench knows how.
bench:
	@tests/tools/setup.sh bench
	@cargo build --release -p gateway
	@cargo build --release -p tests --bin bench
	@exec cargo run --quiet --release -p tests --bin bench -- table $(if $(ROWS),--rows=$(ROWS)) \
		--repetitions=$(REPETITIONS) --seconds=$(BENCH_SECONDS)

# The descriptors that it needs are taken where root runs it; elsewhere there are as many devices as allowed.
storm:
	@tests/tools/setup.sh bench
	@cargo build --release -p gateway
	@cargo build --release -p tests --bin bench
	@exec cargo run --quiet --release -p tests --bin bench -- storm --devices=$(STORM_DEVICES) $(STORM)

backlog:
	@tests/tools/setup.sh bench
	@cargo build --release -p gateway
	@cargo build --release -p tests --bin bench
	@exec cargo run --quiet --release -p tests --bin bench -- backlog --small=$(BACKLOG_SMALL) --large=$(BACKLOG_LARGE)

fuzz:
	@tests/tools/setup.sh build
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	@cd tests/fuzz && for target in fuzz_targets/*.rs; do \
		cargo fuzz run -s none --fuzz-dir . "$$(basename "$$target" .rs)" -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=60 -rss_limit_mb=1024 || exit 1; \
	done
