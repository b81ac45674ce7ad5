# Every target but help and clean makes .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help demo train test test-all golden bench format lint types clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)  ## train F for a few epochs on drawn faces: no data needed
	$(BIN)/python train.py model=F data=drawn data.batch_size=32 trainer.max_epochs=5 \
	    'augment.extra={disgust: 160, surprise: 200, angry: 150, fear: 150}' \
	    hydra.run.dir=outputs/demo
	@echo 'The curves: outputs/demo/report/curves.png, or $(BIN)/tensorboard --logdir outputs'

train: $(READY)  ## train F on FER-2013, found or downloaded
	$(BIN)/python train.py model=F optimizer=adam

test: $(READY)  ## run the tests but the slow ones
	$(BIN)/python -m pytest --numprocesses auto -m 'not slow'

test-all: $(READY)  ## run all tests
	$(BIN)/python -m pytest --numprocesses auto

golden: $(READY)  ## write the golden curves anew, where a training's mathematics is meant to change
	$(BIN)/python tests/learning/test_golden.py

bench: $(READY)  ## measure speed; needs FER-2013 and a machine that does nothing else
	$(BIN)/python scripts/bench.py

format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)  ## check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)  ## check types
	$(BIN)/mypy

clean:  ## remove what these targets made; outputs/ and data/ stay
	rm -rf .venv dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
