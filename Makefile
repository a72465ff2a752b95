# Everything a person does with this project. `make` lists it; nothing but git and make has to be installed first.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-training quick lint types chaos manifests cluster test-cluster fuzz backlog results protos lock train-env research-env test-research bench-env bench clean
SHELL := /bin/bash
QUICK ?= --quick
PY := .venv/bin/python
# One core per process: the parts of the system share the machine.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## fetch and build what everything else needs (no-op when nothing changed)
	@tools/setup.sh

demo: setup ## start the whole system, hold one conversation with it, show what each part saw
	@.venv/bin/multimood demo

test: setup lint types ## everything: lint, types, import rules, contracts, all tests against the real servers
	@tools/test.sh

quick: setup ## the quick unit and property tests, under a minute
	@$(PY) -m pytest -n 2 --dist worksteal -m "not slow" tests/unit tests/property

lint: setup ## style, import rules, freshness of what is generated
	@echo "==> lint, import rules, generated contracts"
	@.venv/bin/ruff check . && .venv/bin/ruff format --check --quiet .
	@.venv/bin/lint-imports --no-cache
	@tools/protos.sh --check
	@.venv/bin/multimood results --check

types: setup ## mypy --strict
	@echo "==> types"
	@.venv/bin/mypy

protos: setup ## generate multimood/contracts from protos/
	@tools/protos.sh

train-env: setup ## make .venv-train for `.venv-train/bin/multimood train ...` (several GB: torch)
	@tools/torch-env.sh train

test-long: setup ## what make test leaves out because it takes minutes: a reply model's canary under load while processes are killed
	@$(PY) -m pytest -v -rs --durations=5 -m long tests/chaos

test-training: train-env ## the tests that need torch: training, models of a hub
	@.venv-train/bin/python -m pytest -v tests/unit/test_fusion_training.py tests/unit/test_voice_training.py tests/unit/test_face_training.py \
	  tests/unit/test_hub_encoder.py tests/unit/test_reply_training.py tests/integration/test_text_training.py \
	  tests/unit/test_learning_graph.py tests/unit/test_learning_command.py tests/unit/test_learning_cql.py
	@$(PY) -m pytest -v tests/integration/test_hub.py tests/integration/test_reply_model.py

research-env: setup ## make .venv-research with what reads exports of the log: TRL, Minari, obp (several GB: torch)
	@tools/torch-env.sh research

test-research: research-env ## the exports of the experience log, opened by the libraries they are for
	@.venv-research/bin/python -m pytest -v -rs tests/integration/test_experience_exports.py

chaos: setup ## kill, freeze and cut off parts at random while utterances flow: KILLS=n REPORT=file.json
	@$(PY) -m benchmarks.chaos --kills $(or $(KILLS),20) $(if $(REPORT),--report $(REPORT))

manifests: setup ## render k8s/ and skaffold.yaml, hold them to schemas, rules and code (builds skaffold once: minutes)
	@$(PY) -m tools.manifests check --built "$$(tools/cluster/build.sh crds skaffold)"

cluster: setup ## build a one-node Kubernetes, run the system on it from k8s/overlays/ci, get one reply, end it (root; cold: half an hour)
	@$(PY) -m tools.cluster run -- $(abspath $(PY)) -m tools.cluster.demo

test-cluster: setup ## the tests on that cluster: replies, policies, pods that go, updates, scaling
	@$(PY) -m tools.cluster run --addons -- $(abspath $(PY)) -m pytest -v -rs --durations=10 tests/cluster

fuzz: setup ## hostile events and media: EVENTS=n MEDIA=n REPORT=file.json
	@$(PY) -m tests.fuzz.run --events $(or $(EVENTS),10000) --media $(or $(MEDIA),200) $(if $(REPORT),--report $(REPORT))

backlog: setup ## many utterances wait for an encoder that is away, and are joined: N=n REPORT=file.json
	@$(PY) -m benchmarks.backlog --utterances $(or $(N),5000) $(if $(REPORT),--report $(REPORT))

results: setup ## measure the served models on all corpora below DATA=folder (SPLIT=val), write docs/results.md
	@.venv/bin/multimood results --measure "$(or $(DATA),$(error give the folder of the corpora: make results DATA=folder))" --split $(or $(SPLIT),val)

bench-env: setup ## make .venv-bench with what the benchmarks compare with
	@tools/bench-env.sh

bench: bench-env ## every measurement of docs/benchmarks.md, small (QUICK= for the whole ones: an hour)
	@for name in pipeline escalation join hops encoders scale first_token models; do $(PY) -m benchmarks.$$name $(QUICK) || exit 1; done

lock: ## resolve requirements/*.txt anew from pyproject.toml
	@tools/lock.sh

clean: ## remove what set-up and tests made (running systems first: multimood down)
	@[ ! -x .venv/bin/multimood ] || .venv/bin/multimood down
	rm -rf .venv .venv-triton .venv-train .venv-research .venv-bench .tools .data .mypy_cache .ruff_cache .hypothesis
