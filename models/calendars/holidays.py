#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the calendar of a market, from the rules by which its holidays fall.

	models/calendars/holidays.py XLON 2024 2028 >models/calendars/XLON.ics

XLON: London Stock Exchange, Business Days: closed on the bank holidays of England and Wales (Banking and Financial
Dealings Act 1971, and the proclamations under it, as gov.uk/bank-holidays lists them); on the last trading days before
Christmas and before New Year the closing auction begins at 12:30.
XTKS: Japan Exchange Group, Market Holidays: closed on the holidays of the Act on National Holidays (1948, as amended),
and from 31 December to 3 January. Equinoxes as the Cabinet Office announces them in the February before; for later
years as the usual formula gives them. Sessions of 5 November 2024 on : 9:00-11:30 and 12:30-15:30.
A one-off holiday is decided by law or proclamation: see what is announced, each year.
"""
import datetime as dt
import sys

DAY = dt.timedelta(1)
MON = 0


def easter(y):
    """Gregorian computus in the form of Meeus, Jones and Butcher."""
    a, b, c = y % 19, y // 100, y % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    n = h + k - 7 * m + 114
    return dt.date(y, n // 31, n % 31 + 1)


def nth(y, month, weekday, n):
    """The n-th such weekday of a month; n = -1: the last."""
    if n > 0:
        first = dt.date(y, month, 1)
        return first + ((weekday - first.weekday()) % 7 + 7 * (n - 1)) * DAY
    last = dt.date(y + month // 12, month % 12 + 1, 1) - DAY
    return last - (last.weekday() - weekday) % 7 * DAY


def london(y):
    closed = {easter(y) - 2 * DAY: "Good Friday", easter(y) + DAY: "Easter Monday",
              nth(y, 5, MON, 1): "Early May bank holiday", nth(y, 5, MON, -1): "Spring bank holiday",
              nth(y, 8, MON, -1): "Summer bank holiday"}
    for date, name in ((dt.date(y, 1, 1), "New Year's Day"), (dt.date(y, 12, 25), "Christmas Day"),
                       (dt.date(y, 12, 26), "Boxing Day")):
        closed[date] = name
    # one on a weekend is made up for by the next weekday that is none
    for date in sorted(d for d in closed if d.weekday() >= 5):
        to = date
        while to.weekday() >= 5 or to in closed:
            to += DAY
        closed[to] = closed[date] + " (substitute day)"
    half = {}
    for before, name in ((dt.date(y, 12, 25), "Christmas"), (dt.date(y + 1, 1, 1), "New Year")):
        date = before - DAY
        while date.weekday() >= 5 or date in closed:
            date -= DAY
        half[date] = "Early close before " + name
    return closed, half


def tokyo(y):
    closed = {dt.date(y, 1, 1): "New Year's Day", nth(y, 1, MON, 2): "Coming of Age Day",
              dt.date(y, 2, 11): "National Foundation Day", dt.date(y, 2, 23): "Emperor's Birthday",
              # mean drift of the equinoxes against the calendar, in Japanese time; right from 1980 to 2099
              dt.date(y, 3, int(20.8431 + 0.242194 * (y - 1980)) - (y - 1980) // 4): "Vernal Equinox Day",
              dt.date(y, 4, 29): "Showa Day", dt.date(y, 5, 3): "Constitution Memorial Day",
              dt.date(y, 5, 4): "Greenery Day", dt.date(y, 5, 5): "Children's Day", nth(y, 7, MON, 3): "Marine Day",
              dt.date(y, 8, 11): "Mountain Day", nth(y, 9, MON, 3): "Respect for the Aged Day",
              dt.date(y, 9, int(23.2488 + 0.242194 * (y - 1980)) - (y - 1980) // 4): "Autumnal Equinox Day",
              nth(y, 10, MON, 2): "Sports Day", dt.date(y, 11, 3): "Culture Day",
              dt.date(y, 11, 23): "Labour Thanksgiving Day"}
    for date in sorted(d for d in closed if d.weekday() == 6):  # on a Sunday: the next day that is no holiday
        to = date
        while to in closed:
            to += DAY
        closed[to] = closed[date] + " (substitute holiday)"
    for date in sorted(closed):  # a day between two holidays is one
        if date + 2 * DAY in closed and date + DAY not in closed and (date + DAY).weekday() != 6:
            closed[date + DAY] = "Citizens' holiday"
    for month, day in ((1, 2), (1, 3), (12, 31)):
        closed.setdefault(dt.date(y, month, day), "Exchange holiday")
    return closed, {}


MARKETS = {
    "XLON": (london, "London Stock Exchange", "Europe/London", [("0800", "1630")], [("0800", "1230")], "19980101",
             "Source: London Stock Exchange, Business Days; bank holidays of England and Wales, gov.uk/bank-holidays. "
             "Closed: HOLIDAY. The closing auction begins at 12:30: HALF-DAY."),
    "XTKS": (tokyo, "Tokyo Stock Exchange", "Asia/Tokyo", [("0900", "1130"), ("1230", "1530")], [], "20241105",
             "Source: Japan Exchange Group, Market Holidays; Act on National Holidays, Cabinet Office of Japan. "
             "Closed: HOLIDAY; there are no half days. Equinox Day of 2028 is calculated: it is announced in February "
             "2027. Sessions as from 5 November 2024."),
}


def fold(line):
    while len(line) > 74:
        print(line[:74] + "\r")
        line = " " + line[74:]
    print(line + "\r")


def event(code, uid, *lines):
    for line in ("BEGIN:VEVENT", "UID:%s@%s.forecached" % (uid, code.lower()), "DTSTAMP:20260101T000000Z", *lines,
                 "TRANSP:TRANSPARENT", "END:VEVENT"):
        fold(line)


def text(s):
    return s.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")


def session(code, tz, date, n, open_close, name, *rule):
    at = ";TZID=%s:%sT%s00"
    event(code, "%s-%d" % (date, n), "DTSTART" + at % (tz, date, open_close[0]), "DTEND" + at % (tz, date, open_close[1]),
          *rule, "CATEGORIES:SESSION", "SUMMARY:" + name)


def main():
    code, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rules, name, tz, sessions, short, since, source = MARKETS[code]
    days, halves = [], []
    for y in range(first, last + 1):
        closed, half = rules(y)
        days += [(d, "HOLIDAY", s) for d, s in closed.items() if d.weekday() < 5]
        days += [(d, "HALF-DAY", s) for d, s in half.items()]
        halves += half
    for line in ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//forecached//market calendars//EN",
                 "X-WR-CALNAME:%s (%s)" % (name, code), "X-WR-TIMEZONE:" + tz,
                 "COMMENT:" + text("%s %d to %d." % (source, first, last))):
        fold(line)
    for n, s in enumerate(sessions):
        rule = ["RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"]
        if halves:
            rule.append("EXDATE;TZID=%s:%s" % (tz, ",".join("%sT%s00" % (d.strftime("%Y%m%d"), s[0]) for d in sorted(halves))))
        session(code, tz, since, n, s, "Session" if len(sessions) == 1 else ("Morning", "Afternoon")[n] + " session", *rule)
    for date in sorted(halves):
        for n, s in enumerate(short):
            session(code, tz, date.strftime("%Y%m%d"), n, s, "Session, early close")
    for date, kind, what in sorted(days):
        event(code, date.strftime("%Y%m%d"), "DTSTART;VALUE=DATE:" + date.strftime("%Y%m%d"),
              "DTEND;VALUE=DATE:" + (date + DAY).strftime("%Y%m%d"), "CATEGORIES:" + kind, "SUMMARY:" + text(what))
    fold("END:VCALENDAR")


main()
