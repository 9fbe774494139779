# What the subcommands share with their unit tests.
noinst_LTLIBRARIES += %D%/libcli.la
%C%_libcli_la_SOURCES = \
	%D%/human.h %D%/human.c \
	%D%/watch_target.h %D%/watch_target.c
%C%_libcli_la_CPPFLAGS = $(OS_CPPFLAGS)
%C%_libcli_la_LIBADD = -lm

bin_PROGRAMS += %D%/forecache
%C%_forecache_SOURCES = \
	%D%/ask.h %D%/ask.c \
	%D%/backtest.c \
	%D%/bar.h %D%/bar.c \
	%D%/chart.h %D%/chart.c \
	%D%/cli.h %D%/main.c \
	%D%/config_check.c \
	%D%/control.c \
	%D%/forecast.c \
	%D%/frontier.h %D%/frontier.c \
	%D%/html.h %D%/html.c \
	%D%/json.h %D%/json.c \
	%D%/learned.h %D%/learned.c \
	%D%/monitor.c \
	%D%/options.h %D%/options.c \
	%D%/plot.h %D%/plot.c \
	%D%/replay.h %D%/replay.c \
	%D%/report.h %D%/report.c %D%/report_page.c \
	%D%/schedule.c \
	%D%/state.c \
	%D%/stats.c \
	%D%/simulate.c \
	%D%/simulate_print.h %D%/simulate_print.c \
	%D%/table.h %D%/table.c \
	%D%/term.h %D%/term.c \
	%D%/top.c \
	%D%/ttls.h %D%/ttls.c \
	%D%/value.c \
	%D%/watch.c \
	%D%/watch_http.h %D%/watch_http.c \
	%D%/why.c \
	daemon/content_hash.h daemon/content_hash.c \
	daemon/message_json.h daemon/message_json.c \
	daemon/record_json.h daemon/record_json.c
%C%_forecache_CPPFLAGS = $(OS_CPPFLAGS) $(GSL_CFLAGS) $(ZMQ_CFLAGS) $(MSGPACK_CFLAGS) $(CJSON_CFLAGS) $(CURL_CFLAGS) \
	-DSBINDIR='"$(sbindir)"' -DSYSCONFDIR='"$(sysconfdir)"'
%C%_forecache_LDADD = %D%/libcli.la proto/libproto.la $(SIM_LIBS) \
	$(ZMQ_LIBS) $(MSGPACK_LIBS) $(CJSON_LIBS) $(CURL_LIBS) -lm
