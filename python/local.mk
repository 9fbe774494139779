# The Python package. It needs no compiler: libforecache is loaded by ctypes. `make python-dist` makes
# python/dist/*.whl and *.tar.gz; with ./configure --with-python, make install installs it as well.
PYTHON_PACKAGE = \
	%D%/forecached/__init__.py \
	%D%/forecached/aio.py \
	%D%/forecached/asgi.py \
	%D%/forecached/client.py \
	%D%/forecached/decorator.py \
	%D%/forecached/django.py \
	%D%/forecached/errors.py \
	%D%/forecached/flask.py \
	%D%/forecached/learned.py \
	%D%/forecached/library.py \
	%D%/forecached/msgpack.py \
	%D%/forecached/py.typed \
	%D%/forecached/resp.py \
	%D%/forecached/serialize.py \
	%D%/forecached/template.py \
	%D%/forecached/transport.py \
	%D%/forecached/version.py \
	%D%/forecached/web.py \
	%D%/forecached/worker.py \
	%D%/forecached/zeromq.py
PYTHON_BUILD = %D%/README.md %D%/pyproject.toml %D%/setup.py
EXTRA_DIST += $(PYTHON_PACKAGE) $(PYTHON_BUILD)

%D%/_version.py: Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
		printf '# SPDX-License-Identifier: MIT\nversion = "%s"\n' '$(PACKAGE_VERSION)' >$@
CLEANFILES += %D%/_version.py

if WITH_PYTHON
forecachedpydir = $(pythondir)/forecached
forecachedpy_DATA = $(PYTHON_PACKAGE) %D%/_version.py
endif

# Offline: with the setuptools and wheel that are installed. In a copy, since setuptools writes beside
# the sources.
python-dist: $(PYTHON_PACKAGE) $(PYTHON_BUILD) %D%/_version.py
	@test '$(PYTHON3)' != no || { echo 'python-dist: configure found no python3 with zmq and msgpack' >&2; exit 1; }
	rm -rf %D%/stage %D%/dist
	$(MKDIR_P) %D%/stage/forecached %D%/dist
	for f in $(PYTHON_PACKAGE); do cp $(srcdir)/$$f %D%/stage/forecached/ || exit 1; done
	for f in $(PYTHON_BUILD); do cp $(srcdir)/$$f %D%/stage/ || exit 1; done
	cp %D%/_version.py %D%/stage/forecached/
	cp $(srcdir)/LICENSES/MIT.txt %D%/stage/LICENSE
	chmod -R u+w %D%/stage
	cd %D%/stage && $(PYTHON3) -c 'import setuptools.build_meta as b; b.build_sdist("../dist"); b.build_wheel("../dist")' >../build.log 2>&1 || \
		{ cat ../build.log >&2; exit 1; }
	rm -rf %D%/stage
	@ls %D%/dist/*
.PHONY: python-dist

clean-local: clean-python
clean-python:
	rm -rf %D%/stage %D%/dist %D%/build.log
.PHONY: clean-python
