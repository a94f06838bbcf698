# make demo: set up, then train, evaluate and show the early-exiting classifier on the embedded notes
# make bench: set up, then the classifier of the demo against itself in other libraries, on this machine
# make test: set up, then the checks of lint, then the fast tests
# make docs: set up, then the documentation as a site in build/site
# make test-newest: the same for the trunk alone, on the newest transformers
# make test-oldest: the fast tests of pipelines, at the low end of the ranges of versions
# make test-medspacy: the tests beside medSpaCy, EDS-NLP, negspacy and scispaCy, in an environment of their own
PYTHON ?= python3
VENV ?= .venv
NEWEST ?= .venv-newest
OLDEST ?= .venv-oldest
MEDSPACY ?= .venv-medspacy
RUN = $(VENV)/bin/python

.PHONY: demo bench test docs test-newest test-oldest test-medspacy slow hard lint clean

demo: $(VENV)/ready
	$(RUN) -m spacy project run all

# The model of the demo, where it is there
bench: $(VENV)/bench
	test -d training/notes/tuned || $(RUN) -m spacy project run all
	$(RUN) -m spacy project run benchmark

# A process for each core, with a thread each
test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto

# Without a network; a link that leads nowhere is an error
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

# spacy-transformers does not take this version, so that only what runs without it can be tested
test-newest: $(NEWEST)/ready
	PYTHONPATH=. $(NEWEST)/bin/python -m pytest -q tests/trunk tests/runtimes tests/training/test_attention.py

# What reads, trains, answers, exports and serves
test-oldest: $(OLDEST)/ready
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -q tests/component tests/runtimes tests/service tests/cli \
		tests/scale tests/heads tests/training tests/data/test_readers.py

# Beside medSpaCy, EDS-NLP, negspacy and scispaCy, in an environment of their own
test-medspacy: $(MEDSPACY)/ready
	OMP_NUM_THREADS=1 $(MEDSPACY)/bin/python -m pytest -q tests/integration

# Real backbones and corpora, from ../shared where it is there
slow: $(VENV)/ready
	$(RUN) -m pytest -q -m slow

# Kills, full disks, damage, hostile texts, threads and growth: about ten minutes
hard: $(VENV)/ready
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto -m hard

lint: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

$(VENV)/ready: setup.cfg requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@# torch first, and pinned: an open range can pull in gigabytes of GPU libraries
	$(RUN) -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements-dev.txt)"
	$(RUN) -m pip install -q --disable-pip-version-check -r requirements-dev.txt -e .
	touch $@

$(VENV)/bench: $(VENV)/ready
	$(RUN) -m pip install -q --disable-pip-version-check -e '.[bench]'
	touch $@

$(NEWEST)/ready: requirements-newest.txt
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements-newest.txt)"
	$(NEWEST)/bin/python -m pip install -q --disable-pip-version-check -r requirements-newest.txt
	touch $@

$(OLDEST)/ready: setup.cfg requirements-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements-oldest.txt)"
	$(OLDEST)/bin/python -m pip install -q --disable-pip-version-check -r requirements-oldest.txt -e .
	touch $@

# medSpaCy and PyRuSH ask for a spaCy before 3.8 on Python before 3.12, scispaCy for a numpy before 2, and all work with these:
# without what they ask for
$(MEDSPACY)/ready: setup.cfg requirements-dev.txt
	$(PYTHON) -m venv $(MEDSPACY)
	$(MEDSPACY)/bin/python -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements-dev.txt)"
	$(MEDSPACY)/bin/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt -e .
	$(MEDSPACY)/bin/python -m pip install -q --disable-pip-version-check PyFastNER quicksectx loguru pysbd==0.3.4 jsonschema \
		medspacy_quickumls==3.2 negspacy==1.1.0 edsnlp==0.23.0
	$(MEDSPACY)/bin/python -m pip install -q --disable-pip-version-check --no-deps PyRuSH==1.0.13 medspacy==1.3.1 scispacy==0.6.2
	touch $@

clean:
	rm -rf $(VENV) $(NEWEST) $(OLDEST) $(MEDSPACY) build backbones training metrics corpora corpora_derived project.lock
