# Manual pages and guides. forecached.conf(5) is made from the tables that the daemon reads.
dist_doc_DATA += %D%/adopt.md
dist_doc_DATA += %D%/benchmarks.md
dist_doc_DATA += %D%/configuration.md
dist_doc_DATA += %D%/eviction.md
dist_doc_DATA += %D%/getting-started.md
dist_doc_DATA += %D%/metrics.md
dist_doc_DATA += %D%/protocol.md
dist_doc_DATA += %D%/robustness.md
dist_doc_DATA += %D%/safety.md
dist_doc_DATA += %D%/simulate.md
dist_doc_DATA += %D%/learning-figures.md
dist_doc_DATA += %D%/python.md
dist_doc_DATA += %D%/redis.md
dist_man_MANS += %D%/forecached.8 %D%/forecache.1

noinst_PROGRAMS += %D%/conf_man
%C%_conf_man_SOURCES = %D%/conf_man.c
%C%_conf_man_CPPFLAGS = $(OS_CPPFLAGS)
%C%_conf_man_LDADD = daemon/libdaemon.la

nodist_man_MANS = %D%/forecached.conf.5
CLEANFILES += %D%/forecached.conf.5
%D%/forecached.conf.5: %D%/conf_man$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && %D%/conf_man$(EXEEXT) >$@.tmp && mv $@.tmp $@
