# Two commands do all the set-up: `make demo` and `make test`. Everything is made in .venv, from the lock.
.POSIX:
.PHONY: demo test test-all test-lowest lint format docs bench peers pictures lock help

PYTHON = .venv/bin/python
# Tests wait for servers and time-outs: three workers keep two cores busy. What is left over goes to whoever is idle.
PARALLEL = -n 3 --dist worksteal

help:
	@echo 'make demo    run every suite on the embedded platform, and print the verdict;'
	@echo '             WALK=1: then take a change through dev, staging and production, on stand-ins'
	@echo '             WALK=releases: then promote two releases, with signed evidence, and go back'
	@echo 'make test    check this project, and run its everyday tests; ONE=path: only the tests there, all of them'
	@echo 'make test-all  run all tests, the slow ones too, and measure what they cover; then test-lowest'
	@echo 'make test-lowest  run the everyday tests with the lowest version of each dependency that is allowed'
	@echo 'make lint    only the checks that run no test'
	@echo 'make format  format the code, and mend what ruff can mend'
	@echo 'make docs    build the documentation in docs/_build/html, and check its links'
	@echo 'make bench   measure against the peers; prints one table'
	@echo 'make peers   run the tests of other projects with and without this plugin, and compare them (10 to 30 minutes)'
	@echo 'make pictures  make the pictures of the README again: a terminal, the report, the sign-off page'
	@echo 'make lock    renew the lock files (needs uv)'

# anyio and Allure load into every pytest run in which they are installed (0.35 s and 0.1 s); a demo needs neither.
demo:
	@ci/setup demo
	@$(PYTHON) -m pytest suites -p no:anyio -p no:allure_pytest
	@case '$(WALK)' in '' | 0) ;; releases) $(PYTHON) -m ci.walk --releases ;; *) $(PYTHON) -m ci.walk ;; esac

# Tests start hundreds of runs: each would compile the plugin anew (0.7 s) where Python may not keep what it has compiled.
test:
	@case '$(ONE)' in \
	'') $(MAKE) lint && PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest tests $(PARALLEL) -q -m 'not slow' ;; \
	*) ci/setup test && PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest $(ONE) -q ;; \
	esac

test-all:
	@ci/setup test
	@$(PYTHON) -m coverage erase
	@PYTHONDONTWRITEBYTECODE= COVERAGE_PROCESS_START="$$PWD/pyproject.toml" $(PYTHON) -m pytest tests $(PARALLEL) -q
	@$(PYTHON) -m coverage combine -q
	@$(PYTHON) -m coverage report
	@$(MAKE) test-lowest

test-lowest:
	@ci/setup lowest
	@PYTHONDONTWRITEBYTECODE= BROWSER_TESTS= .venv-lowest/bin/python -m pytest tests $(PARALLEL) -q -m 'not slow'

lint:
	@ci/setup test
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@PYTHONPATH=. $(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-logo

format:
	@ci/setup test
	@$(PYTHON) -m ruff check --fix-only --quiet .
	@$(PYTHON) -m ruff format .

docs:
	@ci/setup docs
	@$(PYTHON) -m sphinx -E -W --keep-going -q -b html docs docs/_build/html

bench:
	@ci/setup bench
	@$(PYTHON) -m ci.bench

peers:
	@ci/setup peers
	@$(PYTHON) -m ci.peers

pictures:
	@ci/setup pictures
	@$(PYTHON) -m ci.pictures

lock:
	uv lock
	ci/lock/export
