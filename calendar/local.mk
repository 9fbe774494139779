# calendar/
noinst_LTLIBRARIES += %D%/libcalendar.la
%C%_libcalendar_la_SOURCES = \
	%D%/calendar.h %D%/calendar.c \
	%D%/civil.h \
	%D%/days.h %D%/days.c \
	%D%/events.h %D%/events.c \
	%D%/file.h %D%/file.c \
	%D%/ics.h %D%/ics.c \
	%D%/rule.h %D%/rule.c %D%/rule_parse.c \
	%D%/shipped.h \
	%D%/tzif.h %D%/tzif.c \
	%D%/vtimezone.h %D%/vtimezone.c
%C%_libcalendar_la_CPPFLAGS = $(OS_CPPFLAGS) $(ICAL_CFLAGS) -DCALENDAR_DIR='"$(calendarsdir)"'
%C%_libcalendar_la_LIBADD = $(ICAL_LIBS)

nodist_%C%_libcalendar_la_SOURCES = %D%/shipped.c

# The markets' calendars are data. They are looked for in $FORECACHED_CALENDARS, then where they are
# installed, so that they can be corrected there; a copy is built in, so that they are never missing.
calendarsdir = $(pkgdatadir)/calendars
dist_calendars_DATA = models/calendars/XLON.ics models/calendars/XNYS.ics models/calendars/XTKS.ics
# prints one for further years
EXTRA_DIST += models/calendars/holidays.py

CLEANFILES += %D%/shipped.c
%D%/shipped.c: $(dist_calendars_DATA) %D%/shipped.sh
	$(AM_V_GEN)$(MKDIR_P) %D% && cd $(srcdir) && \
	sh %D%/shipped.sh $(dist_calendars_DATA) >$(abs_builddir)/$@.tmp && \
	mv $(abs_builddir)/$@.tmp $(abs_builddir)/$@
EXTRA_DIST += %D%/shipped.sh
