PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes

.PHONY: quickstart cloud-quickstart cloud test lint catalog bench spark lock clean

quickstart: $(VENV)/train.done
	$(BIN)/payphone quickstart

cloud-quickstart: cloud
	$(BIN)/payphone quickstart --cloud

# What `payphone deploy` and whatever else takes --stage need.
cloud: $(VENV)/cloud.done

test: $(VENV)/dev.done
	@{ command -v strace && command -v curl; } >/dev/null || apt-get install --yes --quiet strace curl
	$(BIN)/python -m pytest

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything in models/catalog: trained, converted, proven, published. Its last line is one line of JSON.
catalog: $(VENV)/train.done
	@$(BIN)/payphone model catalog --page docs/catalog.md --json

bench: $(VENV)/dev.done
	@command -v wrk >/dev/null || apt-get install --yes --quiet wrk
	$(BIN)/python -m tests.benchmarks.run

spark: $(VENV)/dev.done
	$(BIN)/python -m tests.spark.run

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.done: requirements/train.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing Payphone and TensorFlow from hash-pinned locks (a few minutes the first time)"
	$(PIP) -r requirements/train.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/cloud.done: requirements/cloud.txt $(VENV)/train.done
	$(PIP) -r requirements/cloud.txt
	@touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/cloud.done
	$(PIP) -r requirements/dev.txt -r requirements/cloud.txt
	@touch $@

lock:
	PATH="$(BIN):$$PATH" requirements/lock.sh

clean:
	rm -rf $(VENV) .payphone build *.egg-info
