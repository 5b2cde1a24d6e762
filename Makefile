# make run: the notebook in its quick profile · make test: all that can be checked · make clean: takes both away again
# make full: what is committed of the notebooks and pictures · make bench: how fast the loaders are
PYTHON     ?= python3
VENV       := .venv
BIN        := $(VENV)/bin
NOTEBOOK   := Assignments/S7/S7_Assignment.ipynb
ANALYSIS   := Assignments/S7/S7_Analysis.ipynb
REPOSITORY := your-name/s7-cifar10

.PHONY: run full test bench clean address

# The stamp is made last: an installation that broke off starts again, one that is done is not repeated.
$(VENV)/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt --constraint constraints.txt
	touch $@

# Both train anew: the notebook itself would go on with the quick run that it finds.
run: $(VENV)/installed
	rm -rf runs/quick*
	PROFILE=quick $(BIN)/jupyter nbconvert --to notebook --execute $(NOTEBOOK) --output-dir runs/notebook
	$(BIN)/jupyter nbconvert --to html runs/notebook/S7_Assignment.ipynb
	@echo "Executed: runs/notebook/S7_Assignment.ipynb, and .html beside it. Pictures: $$(ls -d runs/quick*/s7-*/pictures)/"

# The committed outputs and assets/: shows runs/s7-s7-0 where it is finished, trains it where it is not. The analysis
# notebook reads its records.
full: $(VENV)/installed
	PROFILE=full TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --ExecutePreprocessor.store_widget_state=False --inplace $(NOTEBOOK) $(ANALYSIS)

bench: $(VENV)/installed
	$(BIN)/python bench.py

test: $(VENV)/installed
	rm -rf runs/quick*
	$(BIN)/python -m pytest tests
	PROFILE=quick $(BIN)/python -m pytest --nbval-lax --nbval-current-env -x Assignments

clean:
	rm -rf $(VENV) runs/notebook runs/quick* .pytest_cache
	find . -name __pycache__ -type d -not -path "./.git/*" -prune -exec rm -rf {} +

# Change REPOSITORY above to where this is published, and this puts it into README's badge and the notebook's first cell.
address:
	sed -i.bak -E 's#github(\.com)?/[^/"]+/[^/"]+(\.git|/blob)#github\1/$(REPOSITORY)\2#g' README.md $(NOTEBOOK) $(ANALYSIS)
	rm README.md.bak $(NOTEBOOK).bak $(ANALYSIS).bak
