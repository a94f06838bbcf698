# make demo: set up, then train, evaluate and show the early-exiting classifier on the embedded notes
# make test: set up, then the fast tests
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: demo test slow lint clean

demo: $(VENV)/ready
	$(RUN) -m spacy project run all

test: $(VENV)/ready
	$(RUN) -m pytest -q

# Real backbones and corpora, from ../shared where it is there
slow: $(VENV)/ready
	$(RUN) -m pytest -q -m slow

lint: $(VENV)/ready
	$(RUN) -m ruff check .

$(VENV)/ready: setup.cfg requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@# torch first, and pinned: an open range can pull in gigabytes of GPU libraries
	$(RUN) -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements-dev.txt)"
	$(RUN) -m pip install -q --disable-pip-version-check -r requirements-dev.txt -e .
	touch $@

clean:
	rm -rf $(VENV) backbones training metrics corpora corpora_derived project.lock
