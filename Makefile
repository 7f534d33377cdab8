# Each target is a line or two that calls `run.py` or a tool; `make help` lists them.
# The first Python that is there, is one the locks are made for, and can make an environment (Debian: python3-venv).
FITS := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for one in python3.11 python3.12 python3.13 python3 python; do \
	$$one -c '$(FITS)' 2>/dev/null && echo $$one && break; done)
NO_PYTHON := There is no Python 3.11, 3.12 or 3.13 with venv. Debian, Ubuntu: apt install python3 python3-venv. \
	Elsewhere: name one, such as make train PYTHON=/opt/python3.12/bin/python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --compile-bytecode --require-hashes --python $(BIN)/python
# uv writes no registry address into a lock: whoever installs uses the registry of their own machine.
COMPILE := $(UV) pip compile $(if $(UPGRADE),--upgrade) --quiet --generate-hashes --python-version 3.11 --custom-compile-command "make lock"

# See stacks/environment.py and stacks/cache_folder.py.
export OMP_WAIT_POLICY := PASSIVE
CACHE := $(shell $(or $(wildcard $(BIN)/python),$(PYTHON),:) stacks/cache_folder.py)
ifneq ($(CACHE),)
export XDG_CACHE_HOME := $(CACHE)
endif

.DEFAULT_GOAL := help
.PHONY: help train staging azure gcp bento deploy serve demo monitor watch status stop repro manifests images up down model test again platform matrix containers unit check audit format bench dashboard mlflow lock clean version report comment push find promote sbom scan attested released canary rollout end smoke renewal airflow dags docs docs-serve pictures dask sample

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 12

$(BIN)/uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/train: $(BIN)/uv requirements/train.txt
	@echo "Installing the training environment into $(VENV) ..."
	$(INSTALL) -r requirements/train.txt
	@touch $@

# What a stack needs beside the training environment.
$(VENV)/platform $(VENV)/azure $(VENV)/gcp $(VENV)/bento $(VENV)/dask: $(VENV)/%: $(VENV)/train requirements/%.txt
	@echo "Installing requirements/$*.txt into $(VENV) ..."
	$(INSTALL) -r requirements/$*.txt
	@touch $@

$(VENV)/dev: $(VENV)/train requirements/dev.txt
	@echo "Installing the test tools into $(VENV) ..."
	$(INSTALL) -r requirements/dev.txt
	@touch $@

$(VENV)/docs: $(VENV)/dev requirements/docs.txt
	@echo "Installing MkDocs into $(VENV) ..."
	$(INSTALL) -r requirements/docs.txt
	@touch $@

train: $(VENV)/train  ## install, make the sample data, train, register, report
	$(BIN)/python run.py --pipeline train

staging: $(VENV)/platform  ## what stacks with artifacts in S3 run with, such as staging, beside the training environment

azure: $(VENV)/azure  ## what the stack azure runs with, beside the training environment

gcp: $(VENV)/gcp  ## what the stack gcp runs with, beside the training environment

bento: $(VENV)/bento  ## what the stack local-bento serves with, beside the training environment

dask: $(VENV)/dask  ## what `engine: dask` runs with, beside the training environment

YEARS ?= 2021-2022
SCALE ?= 1
FOLDER ?= data/sample_partitions

sample: $(VENV)/train  ## synthetic YEARS= as Parquet, SCALE= times 60,000 accidents each, into FOLDER= (or s3://...)
	$(BIN)/python -m commands.sample --years $(YEARS) --scale $(SCALE) --folder $(FOLDER)

deploy: $(VENV)/train  ## serve the champion through the stack's model deployer
	$(BIN)/python run.py --pipeline deploy

serve: $(VENV)/train  ## the API and the control room's page, on top of the deployed model
	$(BIN)/python run.py serve

demo: $(VENV)/train  ## from nothing to a model that is trained, deployed, called and monitored
	$(BIN)/python run.py stop
	$(BIN)/python run.py --pipeline train
	$(BIN)/python run.py --pipeline deploy
	$(BIN)/python run.py --pipeline inference --input 2022
	$(BIN)/python run.py serve --detach
	$(BIN)/python -m commands.call
	$(BIN)/python run.py --pipeline monitor --input 2022
	$(BIN)/python run.py status
	$(BIN)/python -m commands.call --how

monitor: $(VENV)/train  ## look at the champion: drift, performance, a decision, and what follows from it
	$(BIN)/python run.py --pipeline monitor

watch: $(VENV)/train  ## Prometheus, Alertmanager and the Pushgateway on this machine, until Ctrl-C
	$(BIN)/python -m commands.watch

status: $(VENV)/train  ## what is deployed, healthy or not, how many predictions, drift
	$(BIN)/python run.py status

stop: $(VENV)/train  ## stop the API and the model servers
	$(BIN)/python run.py stop

repro: $(VENV)/train  ## `dvc repro`: rebuild raw data, prepared data and model, only what changed; renews dvc.lock
	@test -e .git || $(BIN)/dvc config --local core.no_scm true
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m commands.repro

# TAG, BASE_IMAGE, LOCK and WITH may be told: make images TAG=mine BASE_IMAGE=registry.example/python:3.11 LOCK=azure WITH=dask
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' accidents/__about__.py)
TAG ?= $(VERSION)
BUILD = docker build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	--build-arg VERSION=$(VERSION) \
	--build-arg COMMIT=$(or $(shell git rev-parse HEAD 2>/dev/null),unknown) --tag road-accidents/

# By it a command knows that its steps run the code of its own clone.
CODE = $(or $(shell $(or $(wildcard $(BIN)/python),$(PYTHON)) -m accidents.source_code),unknown)

images:  ## build the container images: api, model-server, seldon and pipelines; with PROFILE=airflow also airflow
	@compose/engine.sh
	$(BUILD)api:$(TAG) --file serving/Dockerfile --target api .
	$(BUILD)model-server:$(TAG) --file serving/Dockerfile --target model-server .
	$(BUILD)seldon:$(TAG) --file serving/Dockerfile --target seldon .
	$(BUILD)pipelines:$(TAG) --build-arg CODE=$(CODE) $(if $(LOCK),--build-arg LOCK=$(LOCK)) \
		$(if $(WITH),--build-arg WITH=$(WITH)) .
	$(if $(filter airflow,$(PROFILE)),$(BUILD)airflow:$(TAG) --build-arg PIPELINES=road-accidents/pipelines:$(TAG) \
		--file dags/Dockerfile dags)

# Of a release: which registry, what is built for it (with PROFILE=airflow Airflow's, too), what is released, and where to.
# docs/releasing.md.
REGISTRY ?= registry.example
IMAGES ?= api model-server seldon pipelines $(filter airflow,$(PROFILE))
RELEASE ?= v$(VERSION)
OVERLAY ?= prod
RUNNING = $(or $(wildcard $(BIN)/python),python3)

version:  ## V= wherever the version is named; which comes next: docs/releasing.md
	$(RUNNING) .ci/version.py "$(V)"

push:  ## the images of TAG= into REGISTRY=; their digests are in dist/images.json then
	$(RUNNING) .ci/release_images.py push $(REGISTRY) $(TAG) $(IMAGES)

find:  ## which digests REGISTRY= has of RELEASE=, into dist/images.json
	$(RUNNING) .ci/release_images.py find $(REGISTRY) $(RELEASE) $(IMAGES)

promote:  ## the same digests that REGISTRY= has under TAG=, under RELEASE= too
	$(RUNNING) .ci/release_images.py promote $(REGISTRY) $(TAG) $(RELEASE) $(IMAGES)

sbom: $(VENV)/dev  ## what is in the images of TAG=, as CycloneDX in dist/
	$(BIN)/python .ci/sbom.py $(TAG) $(IMAGES)

scan: $(VENV)/dev  ## known vulnerabilities in the images of TAG=, where Trivy's image can be pulled
	$(BIN)/python .ci/scan.py $(TAG) $(IMAGES)

# `gh` of 2.68 or later. An empty --source-digest would ask for none.
attested:  ## were the images of dist/images.json built by images.yml, on main, of COMMIT= (else what is checked out)? asks `gh`
	@images=$$($(RUNNING) -c 'import json; print(*json.load(open("dist/images.json")).values())') && \
		commit=$(or $(COMMIT),$$(git rev-parse --verify HEAD)) && \
		for one in $$images; do gh attestation verify "oci://$$one" --repo "$$GITHUB_REPOSITORY" \
			--signer-workflow "$$GITHUB_REPOSITORY/.github/workflows/images.yml" \
			--source-ref refs/heads/main --source-digest "$$commit" || exit 1; done

released:  ## is RELEASE= the version of accidents/__about__.py?
	@test "$(RELEASE)" = "v$(VERSION)" || \
		{ echo "The tag is $(RELEASE), and accidents/__about__.py says $(VERSION): tag v$(VERSION), or raise it there." >&2; exit 1; }

canary: $(VENV)/train  ## one pod of dist/images.json beside the API's others, in the cluster of kubectl
	$(BIN)/python .ci/rollout.py canary $(OVERLAY)

rollout: $(VENV)/train  ## everything of OVERLAY=prod with the images of dist/images.json, in the cluster of kubectl
	$(BIN)/python .ci/rollout.py all $(OVERLAY)

end: $(VENV)/train  ## take the canary away
	$(BIN)/python .ci/rollout.py end

smoke:  ## does the API of URL= answer? also URL=deployment/NAME
	$(RUNNING) .ci/smoke.py $(URL) $(SMOKE_VERSION:v%=%)

# What is said in docker-compose.yml, with the images of this version.
COMPOSE = TAG=$(TAG) $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) \
	$(if $(PROFILE),--profile $(PROFILE))

up:  ## the whole platform on this machine, in containers; PROFILE= adds to it
	@compose/engine.sh
	@compose/environment.sh
	@$(COMPOSE) config --quiet
	@compose/profile.sh "$(PROFILE)" $(COMPOSE)
	@compose/checkout.sh $(TAG)
	@$(MAKE) --no-print-directory images
	@compose/up.sh $(COMPOSE)

down:  ## stop the platform; what it stored stays in its volumes
	@compose/engine.sh
	@test ! -e .env || compose/environment.sh
	$(COMPOSE) --profile airflow down

model: $(VENV)/train  ## give the platform's model server the models that the local stack serves
	$(BIN)/python -m commands.platform model
	@test ! -e .env || compose/environment.sh
	$(COMPOSE) restart model-server

# Tests at once. With three on two cores it took as long, and some waited longer than they may.
WORKERS ?= 2
# A file's tests share what they start. In the order of tests/conftest.py; xdist would keep the longest files for last.
SHARED = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/dev  ## every test, but those of the platform and of the containers; TESTS= names some
	$(BIN)/python -m pytest $(SHARED) -m "not containers" --durations=30 $(TESTS)

again: $(VENV)/dev  ## of the last tests, those that failed, one at a time
	$(BIN)/python -m pytest -m "not containers" --last-failed --last-failed-no-failures none

PLATFORM = PLATFORM_TESTS=1 $(LIMIT) $(BIN)/python -m pytest $(SHARED) tests/servers \
	tests/containers/test_docker_stack.py tests/containers/test_staging_in_containers.py tests/engine/test_little_memory.py

platform: $(VENV)/dev  ## what takes minutes, as tests: stacks on PostgreSQL, S3, MLflow, ZenML servers, in Docker; Dask in little memory
	$(PLATFORM)

matrix: $(VENV)/dev  ## of these, the same commands on each stack, whose model and predictions must be equal
	$(PLATFORM) -m matrix

containers: $(VENV)/dev  ## build the images and start the platform, as tests, where a container engine answers
	$(LIMIT) $(BIN)/python -m pytest tests/containers

unit: $(VENV)/dev  ## only the tests that need no ZenML store, under a minute
	$(BIN)/python -m pytest tests/accidents -m "not slow" -n $(WORKERS)

check: $(VENV)/dev  ## linters, types, import rules, workflows, forms and Dockerfiles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet .github/workflows .github/dependabot.yml
	$(BIN)/hadolint Dockerfile serving/Dockerfile dags/Dockerfile

audit: $(VENV)/dev  ## known vulnerabilities in every lock, where an advisory database can be reached; AUDIT=--required: it must be
	$(BIN)/python .ci/audit.py $(AUDIT)

format: $(VENV)/dev  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# MkDocs' makers announce its end beside every build; why it is used all the same: requirements/docs.in.
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs

# Never --quiet: MkDocs then counts no warnings, so that nothing is strict any more.
docs: $(VENV)/docs  ## the documentation as a site, into site/; strict
	$(MKDOCS) build --strict

pictures: $(VENV)/dev  ## the pictures of pages in docs/ anew, of what `make demo` left running
	$(BIN)/python -m documentation.screenshots

docs-serve: $(VENV)/docs  ## the site on this machine only, built again with every change: http://127.0.0.1:8010
	$(MKDOCS) serve --dev-addr 127.0.0.1:8010

bench: $(VENV)/dev  ## measure everything in docs/benchmarks.md again
	$(BIN)/python -m benchmarks

# Two revisions: make report BASE=v0.6.0 HEAD=my-branch. What is trained is kept in .cache/reports.
BASE ?= origin/main
HEAD ?= HEAD
REPORT = reports/model_report.md

report: $(VENV)/train  ## what a branch changes in the model, against BASE=origin/main, as Markdown in reports/
	$(BIN)/python -m benchmarks.compare $(BASE) $(HEAD) --output $(REPORT)

manifests: $(VENV)/dev  ## what a branch changes in what kubernetes/ renders, against BASE=origin/main, as Markdown in reports/
	$(BIN)/python .ci/manifests.py $(BASE) $(HEAD) reports/manifests.md

comment:  ## the model report as the one comment on a pull request: NUMBER=12; GITHUB_TOKEN, GITHUB_REPOSITORY
	python3 -m benchmarks.pull_request_comment $(REPORT) $(NUMBER)

dashboard: $(VENV)/train  ## ZenML's dashboard of this project's runs, on this machine only
	$(BIN)/python -m stacks.dashboard

mlflow: $(VENV)/train  ## MLflow's pages of a stack's runs, on this machine only: STACK=local
	$(BIN)/python -m stacks.mlflow_ui $(if $(STACK),--stack $(STACK))

airflow: $(VENV)/train  ## Airflow with the DAGs of dags/, on this machine only, until Ctrl-C
	$(BIN)/python -m commands.airflow

dags: $(VENV)/dev  ## the DAGs executed as tests, in Airflow's own environment; minutes
	$(BIN)/python -m commands.airflow --make
	$(LIMIT) $(BIN)/python -m pytest tests/dags

lock: $(BIN)/uv  ## resolve every lock again from requirements/*.in; UPGRADE=yes takes the newest that fit
	cd requirements && for role in uv train serve seldon; do ../$(COMPILE) $$role.in -o $$role.txt || exit 1; done
	cd requirements && ../$(COMPILE) --universal airflow.in -o airflow.txt  # Python 3.13 needs one package more
	cd requirements && ../$(COMPILE) -c train.txt api.in -o api.txt
	cd requirements && ../$(COMPILE) -c train.txt train.in platform.in -o platform.txt
	cd requirements && for cloud in azure gcp; do ../$(COMPILE) -c train.txt -c platform.txt train.in $$cloud.in -o $$cloud.txt || exit 1; done
	cd requirements && ../$(COMPILE) -c train.txt bento.in -o bento.txt
	cd requirements && ../$(COMPILE) -c train.txt -c platform.txt dask.in -o dask.txt
	cd requirements && ../$(COMPILE) $(foreach role,train api platform azure gcp bento dask,-c $(role).txt) \
		train.in api.in platform.in azure.in gcp.in bento.in dask.in dev.in -o dev.txt
	cd requirements && ../$(COMPILE) -c dev.txt docs.in -o docs.txt

renewal:  ## the locks as a pull request with the tests' results; GH_TOKEN, GITHUB_REPOSITORY
	.ci/renewal $(RESULTS)

clean:  ## stop and remove what runs made; the data, DVC's cache, keys and the prediction log stay
	@# .zenml may be all that is known of a server: while one cannot be stopped, it stays.
	test ! -e $(BIN)/python || $(BIN)/python run.py stop --all
	rm -rf .zenml .serving/model-server .serving/model-container .serving/bento .serving/seldon reports/*.png reports/*.html reports/inference
	rm -rf .pytest_cache .mypy_cache .ruff_cache site
