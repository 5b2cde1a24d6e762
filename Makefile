# make run: the notebook in its quick profile · make test: everything that can be checked · make tables: README's tables
# make full: the notebooks and pictures as committed · make exercise: the student's notebook from the instructor's
# make bench: how fast · make address: your fork's address everywhere · make clean: away with the environment and quick runs
PYTHON     ?= python3
VENV       := .venv
BIN        := $(VENV)/bin
ASSIGNMENT := Assignments/S7/S7_Assignment.ipynb
ANALYSIS   := Assignments/S7/S7_Analysis.ipynb
QUICK      := $(foreach run,quick-0 tutorial-0,runs/$(run) runs/$(run)-handwritten-digits) runs/quick-analysis
REPOSITORY := your-name/s7-cifar10
EXECUTE    := jupyter nbconvert --to notebook --execute --ExecutePreprocessor.record_timing=False

.PHONY: run full test tables exercise bench address clean

# The stamp is made last: an installation that broke off starts again, one that is done is not repeated.
$(VENV)/installed: requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  --requirement requirements.txt --requirement requirements-dev.txt --constraint constraints.txt
	touch $@

# A quick run trains anew: the notebook itself would go on with the one that it finds.
run: $(VENV)/installed
	rm -rf $(QUICK)
	PROFILE=quick $(BIN)/$(EXECUTE) $(ASSIGNMENT) --output-dir runs/notebook
	$(BIN)/jupyter nbconvert --to html --template classic runs/notebook/S7_Assignment.ipynb
	@echo "Open runs/notebook/S7_Assignment.html"

# Trains runs/s7-0 if it is not there or not finished. fields.png needs two runs more: the analysis names them.
# The second command makes one output of a log's lines.
full: $(VENV)/installed
	PROFILE=full TQDM_DISABLE=1 $(BIN)/$(EXECUTE) --inplace $(ASSIGNMENT) $(ANALYSIS)
	$(BIN)/jupyter nbconvert --coalesce-streams --inplace $(ASSIGNMENT) $(ANALYSIS)

test: $(VENV)/installed
	rm -rf $(QUICK)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile
	PROFILE=quick $(BIN)/python -m pytest --nbval-lax --nbval-current-env -x Assignments

tables: $(VENV)/installed
	$(BIN)/python tables.py

# nbgrader calls a tool of its own by name, hence PATH.
exercise: $(VENV)/installed
	cd course && PATH="$(CURDIR)/$(BIN):$$PATH" nbgrader generate_assignment S7 --force
	cp course/release/S7/S7_Exercise.ipynb Assignments/S7/

# An epoch, row by row; then the recipe fast, whose epochs say how long 85 % takes.
bench: $(VENV)/installed
	$(BIN)/python bench.py
	$(BIN)/python train.py --recipe fast --out "$$(mktemp -d)"

# Takes git's origin, or what you name: make address ADDRESS=owner/name
ADDRESS ?= $(shell git remote get-url origin 2>/dev/null)
address:
	@new=$$(echo "$(ADDRESS)" | sed -E 's#^(https?://|git@|ssh://git@)?(www\.)?github\.com[:/]##; s#/$$##; s#\.git$$##'); \
	echo "$$new" | grep -qE '^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$$' || \
	  { echo "'$(ADDRESS)' is no GitHub address; use: make address ADDRESS=owner/name"; exit 1; }; \
	sed -i.bak "s#$(REPOSITORY)#$$new#g" Makefile README.md Assignments/S7/README.md Assignments/S7/*.ipynb \
	  course/source/S7/*.ipynb && \
	rm Makefile.bak README.md.bak Assignments/S7/*.bak course/source/S7/*.bak && echo "The address is now $$new"

clean:
	rm -rf $(VENV) runs/notebook $(QUICK) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path "./.git/*" -prune -exec rm -rf {} +
