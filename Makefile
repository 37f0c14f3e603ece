# `make demo` shows RJS at work; `make test` runs everything that CI runs. Both start from a clean clone.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell .ci/find-python)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Tests, and what they start, see the installed package and never the checkout in the working directory.
PYTEST := env -u PYTHONPATH PYTHONSAFEPATH=1 $(BIN)/python -m pytest

# What the tests drive, as command=Debian package.
TOOLS := sshd=openssh-server scp=openssh-client ip=iproute2 iptables=iptables \
	jarsigner=default-jdk-headless openssl=openssl unshare=util-linux ss=iproute2 unzip=unzip cc=gcc faketime=faketime \
	avahi-browse=avahi-utils avahi-daemon=avahi-daemon dbus-daemon=dbus-daemon bwrap=bubblewrap \
	/usr/bin/python3=python3

# Real JARs, which the tests sign and verify: Debian packages, one a line.
JAR_PACKAGES := $(shell cat tests/integration/java-packages.txt)

# A fingerprint of all that is installed: a changed, added, moved or removed file installs anew, nothing else does.
SOURCES := setup.py pyproject.toml README.md LICENSE rjs lus cs ws examples
FINGERPRINT := $(shell find $(SOURCES) -type f -not -path '*/__pycache__/*' -exec cksum {} + \
	| LC_ALL=C sort | cksum | tr -d ' ')
INSTALLED := $(VENV)/.installed-$(FINGERPRINT)
TESTABLE := $(VENV)/.testable-$(FINGERPRINT)

# A scanner of TLS, in an environment of its own: it wants an older cryptography than ours.
SCANNER := $(VENV)/sslyze/bin/sslyze

.NOTPARALLEL:
.PHONY: demo test test-long lint bench clean tools

demo: $(INSTALLED)
	@$(BIN)/rjs demo

test: tools lint $(SCANNER)
	$(PYTEST) -m "not long"

test-long: tools $(TESTABLE)
	$(PYTEST) -m long

lint: $(TESTABLE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: tools $(TESTABLE)
	@set -e; for file in bench/*.py; do $(BIN)/python -P "$$file"; done

tools:
	@.ci/need $(TOOLS)
	@dpkg-query -W $(JAR_PACKAGES) >/dev/null 2>&1 || .ci/install-debian $(JAR_PACKAGES)

# build/ would carry removed modules into the next wheel.
define install
	@echo "Installing into $(VENV)/ (a minute or two the first time) ..."
	@rm -rf build *.egg-info $(VENV)/.installed-* $(VENV)/.testable-*
	@$(PIP_INSTALL) $(1)
	@rm -rf build *.egg-info
endef

$(VENV)/.made:
	@test -n "$(PYTHON)"
	@.ci/make-venv "$(PYTHON)" $(VENV)
	@touch $@

$(INSTALLED): $(VENV)/.made
	$(call install,.)
	@touch $@

$(TESTABLE): $(VENV)/.made
	$(call install,".[test]")
	@touch $@ $(INSTALLED)

$(SCANNER): $(VENV)/.made
	@$(BIN)/python -m venv $(VENV)/sslyze
	@$(VENV)/sslyze/bin/python -m pip install --quiet --disable-pip-version-check sslyze==6.3.1
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache mandelbrot.png
