# daemon/
# What reads and writes the outside world for the daemon: origins and the file of learned state.
noinst_LTLIBRARIES += %D%/libio.la
%C%_libio_la_SOURCES = \
	%D%/http_origin.h \
	%D%/record_json.h \
	%D%/state_db.h
%C%_libio_la_CPPFLAGS = $(OS_CPPFLAGS) $(CURL_CFLAGS) $(SQLITE_CFLAGS) $(CJSON_CFLAGS)
%C%_libio_la_LIBADD = $(CURL_LIBS) $(SQLITE_LIBS) $(CJSON_LIBS)
