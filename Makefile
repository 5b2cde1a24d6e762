# make run: the notebook, executed in its quick profile · make test: all that can be checked · make clean: undo both
PYTHON   ?= python3
VENV     := .venv
BIN      := $(VENV)/bin
NOTEBOOK := Assignments/S7/S7_Assignment.ipynb

.PHONY: run test clean

# The stamp is made last and depends on what is installed: an installation that broke off starts again.
$(VENV)/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt --constraint constraints.txt
	touch $@

run: $(VENV)/installed
	mkdir -p runs/notebook
	PROFILE=quick $(BIN)/jupyter nbconvert --to notebook --execute $(NOTEBOOK) --output-dir runs/notebook
	$(BIN)/jupyter nbconvert --to html runs/notebook/S7_Assignment.ipynb
	@echo "The executed notebook is runs/notebook/S7_Assignment.ipynb (.html beside it), its pictures are in runs/pictures/."

test: $(VENV)/installed
	$(BIN)/python -m pytest tests
	PROFILE=quick $(BIN)/python -m pytest --nbval-lax --nbval-current-env -x Assignments

clean:
	rm -rf $(VENV) runs/notebook runs/quick runs/pictures .pytest_cache
	find . -name __pycache__ -type d -not -path "./.git/*" -prune -exec rm -rf {} +
