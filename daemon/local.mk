# daemon/: everything but main, so that unit tests can link it.
noinst_LTLIBRARIES += %D%/libdaemon.la
%C%_libdaemon_la_SOURCES = \
	%D%/acceptor.h %D%/acceptor.c \
	%D%/address.h %D%/address.c \
	%D%/clock.h %D%/clock.c \
	%D%/config.h %D%/config.c %D%/config_parse.c %D%/config_show.c \
	%D%/config_source.h %D%/config_source.c \
	%D%/config_value.h %D%/config_value.c \
	%D%/crew.h %D%/crew.c \
	%D%/daemon.h %D%/daemon.c \
	%D%/large.h %D%/large.c \
	%D%/learned.h %D%/learned.c \
	%D%/loaders.h %D%/loaders.c \
	%D%/log.h %D%/log.c \
	%D%/loop.h %D%/loop.c \
	%D%/message_json.h %D%/message_json.c \
	%D%/option.h %D%/option.c \
	%D%/origins.h %D%/origins.c \
	%D%/pattern.h %D%/pattern.c \
	%D%/peak_reports.h %D%/peak_reports.c \
	%D%/query.h %D%/query.c \
	%D%/requests.h %D%/requests.c \
	%D%/ring.h \
	%D%/resp.h %D%/resp_conn.h %D%/resp_miss.h \
	%D%/resp_client.c %D%/resp_command.c %D%/resp_conn.c %D%/resp_handler.c %D%/resp_info.c %D%/resp_key.c \
	%D%/resp_learned.c %D%/resp_listen.c %D%/resp_miss.c %D%/resp_multi.c %D%/resp_owed.c \
	%D%/resp_scan.c %D%/resp_script.c %D%/resp_server.c %D%/resp_string.c \
	%D%/rundir.h %D%/rundir.c \
	%D%/schedule_rule.h %D%/schedule_rule.c \
	%D%/schedules.h %D%/schedules.c \
	%D%/segment.h %D%/segment.c \
	%D%/setup.h %D%/setup.c \
	%D%/unmatched.h %D%/unmatched.c \
	%D%/unpack.h %D%/unpack.c \
	%D%/web.h %D%/web_answer.h %D%/web_api.c %D%/web_listen.c %D%/web_metrics.c %D%/web_ready.c \
	%D%/wire.h %D%/wire.c \
	%D%/worker.h %D%/worker.c
%C%_libdaemon_la_CPPFLAGS = $(OS_CPPFLAGS) $(CJSON_CFLAGS) $(ZMQ_CFLAGS) $(MSGPACK_CFLAGS) $(MHD_CFLAGS)
%C%_libdaemon_la_LIBADD = $(CJSON_LIBS) $(ZMQ_LIBS) $(MHD_LIBS)

sbin_PROGRAMS += %D%/forecached
%C%_forecached_SOURCES = %D%/main.c
%C%_forecached_CPPFLAGS = $(OS_CPPFLAGS) $(CURL_CFLAGS) $(GSL_CFLAGS) $(ZMQ_CFLAGS) $(MSGPACK_CFLAGS)
%C%_forecached_LDADD = daemon/libdaemon.la daemon/libio.la proto/libproto.la calendar/libcalendar.la \
	$(ENGINE_LIBS) $(MSGPACK_LIBS) $(ZMQ_LIBS) $(CURL_LIBS) $(CJSON_LIBS) $(SQLITE_LIBS) $(ICAL_LIBS)

# What reads and writes the outside world: origins, and the file of what was learned.
noinst_LTLIBRARIES += %D%/libio.la
%C%_libio_la_SOURCES = \
	%D%/content_hash.h %D%/content_hash.c \
	%D%/noise.h %D%/noise.c \
	%D%/http_origin.h %D%/http_origin.c \
	%D%/http_rules.h %D%/http_rules.c \
	%D%/http_setup.h %D%/http_setup.c \
	%D%/record_json.h %D%/record_json.c \
	%D%/state_db.h %D%/state_db.c \
	%D%/state_file.h %D%/state_file.c \
	%D%/ttl_history.h %D%/ttl_history.c \
	%D%/url_template.h %D%/url_template.c \
	%D%/validators.h %D%/validators.c
%C%_libio_la_CPPFLAGS = $(OS_CPPFLAGS) $(CURL_CFLAGS) $(SQLITE_CFLAGS) $(CJSON_CFLAGS) \
	-DFORECACHED_VERSION='"$(PACKAGE_VERSION)"'
%C%_libio_la_LIBADD = $(CURL_LIBS) $(SQLITE_LIBS) $(CJSON_LIBS)
