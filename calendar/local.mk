# calendar/
noinst_LTLIBRARIES += %D%/libcalendar.la
%C%_libcalendar_la_SOURCES = \
	%D%/calendar.h
%C%_libcalendar_la_CPPFLAGS = $(OS_CPPFLAGS) $(ICAL_CFLAGS)
%C%_libcalendar_la_LIBADD = $(ICAL_LIBS)
