# calendar/
noinst_LTLIBRARIES += %D%/libcalendar.la
%C%_libcalendar_la_SOURCES = \
	%D%/calendar.h %D%/calendar.c \
	%D%/civil.h \
	%D%/rule.h %D%/rule.c \
	%D%/tzif.h %D%/tzif.c
%C%_libcalendar_la_CPPFLAGS = $(OS_CPPFLAGS) $(ICAL_CFLAGS) -DCALENDAR_DIR='"$(calendarsdir)"'
%C%_libcalendar_la_LIBADD = $(ICAL_LIBS)

# The markets' calendars are data; they are found there, or in $FORECACHED_CALENDARS.
calendarsdir = $(pkgdatadir)/calendars
dist_calendars_DATA = models/calendars/XNYS.ics
