# What a distribution's package needs besides the programs. The configuration that is there is kept.
systemdunitdir = $(prefix)/lib/systemd/system
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
confdir = $(sysconfdir)/forecached

bashcompletiondir = $(datadir)/bash-completion/completions

EXTRA_DIST += %D%/forecache.bash
nodist_systemdunit_DATA = %D%/forecached.service
all-local: %D%/forecached-tmpfiles.conf
CLEANFILES += %D%/forecached.service %D%/forecached-tmpfiles.conf
EXTRA_DIST += %D%/forecached.service.in %D%/forecached.tmpfiles.in %D%/forecached.sysusers %D%/forecached.conf
# examples for Prometheus, beside the guides
dist_doc_DATA += %D%/prometheus.yml %D%/forecached.rules.yml

packaging_subst = sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
	-e 's|@rundir[@]|$(rundir)|g' -e 's|@statedir[@]|$(statedir)|g'

%D%/forecached.service: %D%/forecached.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(packaging_subst) $(srcdir)/%D%/forecached.service.in >$@

%D%/forecached-tmpfiles.conf: %D%/forecached.tmpfiles.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(packaging_subst) $(srcdir)/%D%/forecached.tmpfiles.in >$@

install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(confdir)' '$(DESTDIR)$(sysusersdir)' '$(DESTDIR)$(tmpfilesdir)'
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) $(srcdir)/packaging/forecache.bash '$(DESTDIR)$(bashcompletiondir)/forecache'
	$(INSTALL_DATA) packaging/forecached-tmpfiles.conf '$(DESTDIR)$(tmpfilesdir)/forecached.conf'
	$(INSTALL_DATA) $(srcdir)/packaging/forecached.sysusers '$(DESTDIR)$(sysusersdir)/forecached.conf'
	test -e '$(DESTDIR)$(confdir)/forecached.conf' || \
		$(INSTALL_DATA) $(srcdir)/packaging/forecached.conf '$(DESTDIR)$(confdir)/forecached.conf'

uninstall-local:
	rm -f '$(DESTDIR)$(bashcompletiondir)/forecache'
	rm -f '$(DESTDIR)$(sysusersdir)/forecached.conf' '$(DESTDIR)$(tmpfilesdir)/forecached.conf'
	! cmp -s $(srcdir)/packaging/forecached.conf '$(DESTDIR)$(confdir)/forecached.conf' || \
		rm -f '$(DESTDIR)$(confdir)/forecached.conf'
