# `make demo` and `make test` set everything up by themselves: they install the locked packages into .venv.
.POSIX:
.PHONY: demo prove test test-all test-lowest lint format docs bench peers pictures lock help

PYTHON = .venv/bin/python
# Tests wait for servers and timeouts, so three workers keep two cores busy. An idle worker takes over waiting tests.
PARALLEL = -n 3 --dist worksteal

help:
	@echo 'make demo         run every suite on the sandbox, and print the verdict'
	@echo '                  WALK=1: then deploy a change to dev, staging and production, with fake tools'
	@echo '                  WALK=releases: then promote two releases with signed evidence, and roll back'
	@echo 'make prove        measure which faults the suites catch (4 minutes)'
	@echo 'make test         run lint and the everyday tests (ONE=path: all tests in one file or folder)'
	@echo 'make test-all     run all tests with coverage, then test-lowest'
	@echo 'make test-lowest  run the everyday tests with the lowest allowed version of each dependency'
	@echo 'make lint         check style, types, imports, words and suites'
	@echo 'make format       format the code, and fix what ruff can fix'
	@echo 'make docs         build the documentation in docs/_build/html, and check its links'
	@echo 'make bench        measure against peers, and print tables (25 minutes; ONE=topic: part of it)'
	@echo 'make peers        run the tests of other projects with and without this plugin (10 to 30 minutes)'
	@echo 'make pictures     make the pictures of the README again'
	@echo 'make lock         update the lock files (needs uv)'

# The demo needs neither anyio nor Allure, which take 0.35 s and 0.1 s of every pytest run.
demo:
	@ci/setup demo
	@$(PYTHON) -m pytest suites -p no:anyio -p no:allure_pytest
	@case '$(WALK)' in '' | 0) ;; releases) $(PYTHON) -m ci.walk --releases ;; *) $(PYTHON) -m ci.walk ;; esac

# The demo's packages are enough; the score to keep is in suites/prove.toml.
prove:
	@ci/setup demo
	@.venv/bin/gaia prove

# Tests start hundreds of runs. If Python may not write bytecode, each of them compiles the plugin again (0.7 s).
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
	@PYTHONDONTWRITEBYTECODE= BROWSER_TESTS= DOCKER_TESTS= .venv-lowest/bin/python -m pytest tests $(PARALLEL) -q -m 'not slow'

lint:
	@ci/setup test
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@PYTHONPATH=. $(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-logo
	@$(PYTHON) -m ci.glossary
	@.venv/bin/gaia suites check --strict
	@cd examples/shop && ../../.venv/bin/gaia suites check --strict

format:
	@ci/setup test
	@$(PYTHON) -m ruff check --fix-only --quiet .
	@$(PYTHON) -m ruff format .

docs:
	@ci/setup docs
	@$(PYTHON) -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

bench:
	@ci/setup bench
	@$(PYTHON) -m ci.bench $(ONE)

peers:
	@ci/setup peers
	@$(PYTHON) -m ci.peers

pictures:
	@ci/setup pictures
	@$(PYTHON) -m ci.pictures

lock:
	uv lock
	ci/lock/export
