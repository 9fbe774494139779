# The Python package. It needs no compiler: libforecache is loaded by ctypes.
PYTHON_PACKAGE = \
	%D%/forecached/__init__.py \
	%D%/forecached/aio.py \
	%D%/forecached/client.py \
	%D%/forecached/decorator.py \
	%D%/forecached/errors.py \
	%D%/forecached/learned.py \
	%D%/forecached/library.py \
	%D%/forecached/msgpack.py \
	%D%/forecached/py.typed \
	%D%/forecached/resp.py \
	%D%/forecached/serialize.py \
	%D%/forecached/template.py \
	%D%/forecached/transport.py \
	%D%/forecached/version.py \
	%D%/forecached/worker.py \
	%D%/forecached/zeromq.py
EXTRA_DIST += $(PYTHON_PACKAGE)
