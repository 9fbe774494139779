#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules of a running daemon: rules, files, single times, reports that last, and what is asked badly."""
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fcd import BUILD, Daemon, main, test, until, write_ics

START = ["--time-start", "2026-12-23T12:00:00Z"]


def forecache(d, *args, status=0, cwd=None):
    run = subprocess.run([os.path.abspath(os.path.join(BUILD, "cli", "forecache")), *args], capture_output=True,
                         env={**os.environ, "FORECACHED_DIR": d.dir}, check=False, cwd=cwd)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    return (run.stdout + run.stderr).decode()


def add(d, name, rule, **more):
    return d.ask("schedule.add", {"name": name, "rrule": rule, "patterns": ["/q/<s>"], **more})


def refused(d, words, rule, **more):
    got = d.refused("schedule.add", {"name": "bad", "rrule": rule, "patterns": ["/q/<s>"], **more})
    assert words in got.text, (rule, got.text)


def trial(d, rule, **more):
    """The next instants of a dry run, in UTC."""
    got = add(d, "trial", rule, dry_run=True, **more)
    assert got["count"] == 0
    return [datetime.datetime.utcfromtimestamp(t).strftime("%m-%d %H:%M") for t in got["next"]]


@test
def rules_say_when_they_would_be_due_and_keep_nothing():
    with Daemon(args=START) as d:
        assert trial(d, "starts XTKS")[:4] == ["12-24 00:00", "12-24 03:30", "12-25 00:00", "12-25 03:30"]
        assert trial(d, "ends XLON")[:4] == ["12-23 16:30", "12-24 12:30", "12-29 16:30", "12-30 16:30"]
        assert trial(d, "weekdays 09:30", tz="America/New_York", calendar="XNYS")[:3] == \
            ["12-23 14:30", "12-24 14:30", "12-28 14:30"]
        assert trial(d, "at 2027-07-01T09:30", tz="Europe/London") == ["07-01 08:30"], "beyond schedule_ahead"
        assert len(trial(d, "hourly")) == 10
        assert d.ask("schedule.list") == [] and not os.path.exists(d.base + "/run/state/schedules.json")
        text = forecache(d, "schedule", "add", "tokyo", "starts XTKS", "-p", "/q/<s>", "--lead", "auto", "--dry-run")
        assert "Thu 2026-12-24 09:00 JST" in text and "/q/<s>: 0 loads" in text, text
        got = json.loads(forecache(d, "schedule", "add", "t", "hourly", "-p", "/q/<s>", "--dry-run", "--json"))
        assert len(got["next"]) == 10 and got["plan"] == [{"pattern": "/q/<s>", "keys": [], "skipped": []}], got


@test
def what_is_taken_can_be_read_again():
    """The file of those added at run time has the configuration's reader: what that refuses is not taken."""
    with Daemon({"calendar": "XNYS"}, args=START) as d:
        refused(d, "control character", "hourly", tz="UTC\t")
        refused(d, "lead_s: 172800 s is out of range: at most 86400", "FREQ=WEEKLY;BYDAY=MO", lead_s=172800)
        for name, pattern, words in (("a\tb", "/q", "control character"), ("a", "/q\n", "patterns[0]: contains a control")):
            got = d.refused("schedule.add", {"name": name, "rrule": "hourly", "patterns": [pattern]})
            assert words in got.text, got.text
        assert add(d, "all days", "daily 09:30")["skip_holidays"] is False
        until("expanded", lambda: d.ask("schedule.next", {"name": "all days", "steps": 3}))

        def days():
            rows = until("expanded", lambda: d.ask("schedule.next", {"name": "all days", "steps": 3}))
            return [datetime.datetime.utcfromtimestamp(r["time_s"]).strftime("%m-%d") for r in rows]

        assert days() == ["12-24", "12-25", "12-26"], "Christmas, too"
        d.stop()
        d.start()
        assert days() == ["12-24", "12-25", "12-26"], "and after a restart"
        d.stop()
        path = d.base + "/run/state/schedules.json"
        with open(path, "w") as f:
            f.write('{"schedules": [{"name": "x", "rrule": "hourly", "patterns": ["/a/*/b"]}]}')
        d.start()
        add(d, "another", "hourly")
        with open(path + ".refused") as f:
            assert "/a/*/b" in f.read()
        assert [r["name"] for r in d.ask("schedule.list")] == ["another"]


@test
def ten_instants_are_told_however_rare_they_are():
    with Daemon(args=START) as d:
        assert trial(d, "mon 09:30")[:3] == ["12-28 09:30", "01-04 09:30", "01-11 09:30"]
        for rule in ("mon 09:30", "weekdays 09:30", "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=6", "ends XLON"):
            assert len(trial(d, rule)) == 10, rule
        assert len(trial(d, "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=1")) == 5, "within five years"
        add(d, "weekly", "mon 09:30")
        add(d, "monthly", "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=6")
        for name, days in (("weekly", (7, 7)), ("monthly", (28, 31))):
            rows = until("expanded", lambda: d.ask("schedule.next", {"name": name, "steps": 10}))
            gaps = [b["time_s"] - a["time_s"] for a, b in zip(rows, rows[1:])]
            assert len(rows) == 10 and all(days[0] * 86400 <= g <= days[1] * 86400 for g in gaps), rows
        text = forecache(d, "schedule", "next", "weekly", "--limit", "10")
        assert text.count("weekly") == 10 and "Mon 2027-03-01 09:30" in text, text


@test
def who_adds_a_schedule_that_cannot_be_written_is_told():
    with Daemon({"flush_s": 0.1, "http": "127.0.0.1:0"}, args=START) as d:
        path = os.path.join(d.dir, "state", "schedules.json")
        # a full disk, once: nothing half written stays, and it is tried again
        os.symlink("/dev/full", path + ".new")
        assert add(d, "full", "hourly")["saved"] is False
        d.wait_log("warn event=schedules_file .*No space left on device")
        until("written", lambda: os.path.exists(path))
        assert not os.path.lexists(path + ".new")
        d.wait_log("notice event=schedules_file .*written at last")
        # and for longer
        os.mkdir(path + ".new")
        run = forecache(d, "schedule", "add", "kept", "hourly", "-p", "/q")
        assert 'schedule "kept" is set' in run and "warning: it could not be written" in run, run
        assert d.ask("health")["state"] == "failing" and kept(d) == "0"
        assert d.ask("schedule.remove", "full") == {"count": 1, "saved": False}
        assert "could not be written" not in forecache(d, "schedule", "add", "t", "hourly", "-p", "/q", "--dry-run")
        with open(path) as f:
            assert [s["name"] for s in json.load(f)["schedules"]] == ["full"], "the file is the old one"
        os.rmdir(path + ".new")
        until("written", lambda: d.ask("health")["state"] == "ok")
        assert kept(d) == "1"
        d.kill9()
        d.start()
        assert [s["name"] for s in d.ask("schedule.list")] == ["kept"]
        # the end of the daemon is the last try
        os.mkdir(path + ".new")
        assert add(d, "last", "hourly")["saved"] is False
        os.rmdir(path + ".new")
        d.stop()
        d.start()
        assert {s["name"] for s in d.ask("schedule.list")} == {"kept", "last"}


@test
def a_dry_run_has_the_plan_of_each_pattern_as_json():
    with Daemon(args=START) as d:
        for i in range(3):
            d.ask("event", [[None, "/q/<s>", "/q/%d" % i, "miss"]])
        args = ["schedule", "add", "t", "hourly", "-p", "/q/<s>", "-p", "/r/<s>", "--dry-run", "--json"]
        got = json.loads(forecache(d, *args))
        assert [p["pattern"] for p in got["plan"]] == ["/q/<s>", "/r/<s>"], got
        # nobody can load them
        assert got["plan"][0]["keys"] == [] and {(r["key"], r["reason"]) for r in got["plan"][0]["skipped"]} == \
            {("/q/%d" % i, "origin") for i in range(3)}, got
        assert got["plan"][1] == {"pattern": "/r/<s>", "keys": [], "skipped": []}, got


@test
def it_is_said_which_holidays_are_left_out():
    with Daemon(args=START) as d:
        assert add(d, "a", "hourly") == {"count": 1, "tz": "UTC", "calendar": None, "skip_holidays": False, "saved": True}
        assert add(d, "b", "hourly", calendar="XNYS")["skip_holidays"]
        assert add(d, "c", "starts XTKS") == {"count": 1, "tz": "Asia/Tokyo", "calendar": "XTKS", "skip_holidays": True,
                                                "saved": True}
        for more, said in (([], "holidays are not left out; --calendar names"),
                           (["--calendar", "XLON"], "the holidays of XLON are left out")):
            assert said in forecache(d, "schedule", "add", "d", "hourly", "-p", "/q", *more)
            assert said in forecache(d, "schedule", "add", "d", "hourly", "-p", "/q", "--dry-run", *more)
    with Daemon({"calendar": "XNYS"}, args=START) as d:
        got = add(d, "a", "hourly")
        assert (got["calendar"], got["skip_holidays"]) == ("XNYS", False), got
        assert "not left out; --calendar XNYS leaves out" in forecache(d, "schedule", "add", "d", "hourly", "-p", "/q")


def metrics(d):
    d.wait_log("event=http ")
    port = re.findall(r"event=http .*port=(\d+)", d.log())[-1]
    with urllib.request.urlopen("http://127.0.0.1:%s/metrics" % port, timeout=60) as r:
        return r.read().decode()


def kept(d):
    return re.search(r"^forecached_schedules_kept (\S+)", metrics(d), re.M).group(1)


def days_left(d):
    return dict(re.findall(r'forecached_calendar_days_left{calendar="([^"]*)"} (\S+)', metrics(d)))


@test
def calendars_of_schedules_end_too():
    with tempfile.TemporaryDirectory() as t:
        path = os.path.join(t, "own.ics")
        write_ics(path, "20270110")
        with Daemon({"http": "127.0.0.1:0", "calendar": "XNYS",
                     "schedules": [{"name": "l", "rrule": "starts XLON", "patterns": ["/l"]}]}, args=START) as d:
            assert set(days_left(d)) == {"XNYS", "XLON"}, days_left(d)
            add(d, "a", "hourly", calendar=path)
            add(d, "b", "hourly", calendar=path)
            add(d, "t", "starts XTKS")
            got = until("expanded", lambda: (lambda x: x if len(x) == 4 else None)(days_left(d)))
            assert set(got) == {"XNYS", "XLON", "XTKS", path} and got[path] == "18", got
            d.wait_log("warn event=calendar why=.*own.ics ends in 18 days")
            # again over a restart
            d.stop()
            d.start()
            until("expanded", lambda: len(days_left(d)) == 4)
            d.ask("schedule.remove", "a")
            d.ask("schedule.remove", "b")
            assert path not in days_left(d)


@test
def only_so_many_rules_are_read_at_once():
    with Daemon(args=START) as d:
        # all in one go: each looks five years ahead, and is not done before the last has come
        never = {"rrule": "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "patterns": ["/q/<s>"]}
        d.signal(signal.SIGSTOP)
        for i in range(200):
            d.client.send("schedule.add", dict(never, name="n%d" % i))
        d.signal(signal.SIGCONT)
        status = [d.client.receive()[1] for _ in range(200)]
        assert set(status) == {1, 5} and status.count(1) >= 16, status
        assert add(d, "later", "hourly")["count"] == 1


@test
def events_of_a_file_are_schedules_too():
    with tempfile.TemporaryDirectory() as t, Daemon(args=START) as d:
        path = os.path.join(t, "own.ics")
        with open(path, "w") as f:
            f.write("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nX-WR-TIMEZONE:Europe/Berlin\r\nBEGIN:VEVENT\r\nUID:1\r\n"
                    "DTSTART;TZID=Europe/Berlin:20261221T080000\r\nRRULE:FREQ=DAILY;COUNT=6\r\n"
                    "EXDATE;TZID=Europe/Berlin:20261225T080000\r\nSUMMARY:Sale\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
        assert trial(d, path) == trial(d, "starts " + path) == ["12-24 07:00", "12-26 07:00"]
        add(d, "sale", "starts " + path)
        until("expanded", lambda: len(d.ask("schedule.next", {"name": "sale"})) == 2)
        # it lasts over a restart; a file that is gone by then is told of, and hurts nobody
        d.stop()
        os.unlink(path)
        d.start()
        d.wait_log("warn event=schedule name=sale .*own.ics")
        assert d.ask("health")["status"] == "ready"


@test
def files_are_meant_from_where_the_command_runs():
    with tempfile.TemporaryDirectory() as t, Daemon(args=START) as d:
        with open(os.path.join(t, "own.ics"), "w") as f:
            f.write("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20261224T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
        write_ics(os.path.join(t, "days.ics"), "20261225")
        os.mkdir(os.path.join(t, "sub"))
        for cwd, name in ((t, "own.ics"), (t, "./own.ics"), (t + "/sub", "../own.ics")):
            for rule in ("starts " + name, "ends  " + name, name):
                text = forecache(d, "schedule", "add", "x", rule, "-p", "/q", "--dry-run", cwd=cwd)
                assert "2026-12-24" in text, (rule, text)
        forecache(d, "schedule", "add", "kept", "starts own.ics", "-p", "/q", "--calendar", "days.ics", cwd=t)
        row = d.ask("schedule.list")[0]
        real = os.path.realpath(t)
        assert (row["rrule"], row["calendar"]) == ("starts %s/own.ics" % real, real + "/days.ics"), row
        # names that are no files
        assert "2026" in forecache(d, "schedule", "add", "x", "starts XTKS", "-p", "/q", "--dry-run", "--calendar", "XNYS", cwd=t)
        # who sends a relative name is told whose directory that was
        refused(d, "own.ics: No such file or directory (looked for in %s)" % os.getcwd()[:80], "starts own.ics")
        refused(d, "days.ics: its events are of whole days, which have no time of day", "starts %s/days.ics" % t)


@test
def reports_outlive_the_daemon():
    bell = {"name": "bell", "rrule": "hourly", "patterns": ["/q/<s>", "/r/<s>"]}
    config = {"schedules": [bell], "schedule_reports": 3, "flush_s": 0.1}
    with Daemon(config, args=["--time-scale", "3000"]) as d:
        until("four bells", lambda: len(d.ask("schedule.next")) and d.ask("stats")["daemon"]["notices"] >= 8)
        before = d.ask("schedule.report", {"name": "bell"})
        assert 1 <= len(before) <= 3, before
        for row in before:
            assert row["name"] == "bell" and row["time_s"] % 3600 < 1 and row["source"] == "schedule", row
            assert {"wanted", "warm", "late", "loads", "planned", "skipped", "began_s"} <= set(row), row
        assert len({r["time_s"] for r in before}) == len(before), "the patterns of one instant are one row"
        d.stop()
        d.args = []
        d.start()
        after = d.ask("schedule.report", {"name": "bell"})
        assert len(after) == 3 and after[-1]["time_s"] >= before[-1]["time_s"], (before, after)
        assert [r["time_s"] for r in after] == sorted(r["time_s"] for r in after)
        assert d.refused("schedule.report", {"name": "none"}).code == "not_found"
        assert len(d.ask("schedule.report", {"max": 1})) == 1
        assert "bell" in forecache(d, "schedule", "report")


@test
def learned_peaks_outlive_the_daemon():
    peak = {"kind": "peak", "name": "any", "endpoint": "/q/<s>",
            "fields": {"id": [1], "peaks": [5, 1, 1, 1, 1, 1, 0, 0], "rise": [0, 36, 5, 5, 9], "trials": [5, 5, 90, 90, 1]}}
    with tempfile.TemporaryDirectory() as t, Daemon({"flush_s": 0.1}, args=START) as d:
        path = os.path.join(t, "learned.jsonl")
        with open(path, "w") as f:
            f.write('{"forecached":"learned state","version":1}\n' + json.dumps(peak) + "\n")
        forecache(d, "import", path)
        before = d.ask("schedule.list", {"learned": True})
        assert len(before) == 1 and before[0]["acted_on"] and before[0]["time"] == "09:00", before
        d.stop()
        d.start()
        after = d.ask("schedule.list", {"learned": True})
        assert len(after) == 1 and after[0]["acted_on"] and after[0]["told"] == 5, after
        # and after a kill: nothing of it is rewritten as something else
        d.kill9()
        d.start()
        assert len(d.ask("schedule.list", {"learned": True})) == 1


@test
def who_reloads_again_while_that_goes_on_gets_the_last():
    def config(name):
        return {"schedules": [{"name": name, "rrule": "hourly", "patterns": ["/q"]},
                              # of its own five years are looked at
                              {"name": "never", "rrule": "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "patterns": ["/q"]}]}
    with Daemon(config("a"), args=START) as d:
        for name in "bcde":
            d.write_config(config(name))
            d.signal(signal.SIGHUP)
            assert d.ask("health")["status"] == "ready"
        until("the last", lambda: {r["name"] for r in d.ask("schedule.list")} == {"e", "never"})
        d.wait_log("event=reload ok=1")


def read_by_the_loop(d):
    """Bytes that the engine's thread has read from files so far; None where the kernel does not count them."""
    pid = d.process.pid
    try:
        with open("/proc/%d/task/%d/io" % (pid, pid)) as f:
            return int(re.search(r"rchar: (\d+)", f.read()).group(1))
    except OSError:
        return None


@test
def a_calendar_file_is_read_by_workers_at_a_reload():
    with tempfile.TemporaryDirectory() as t, Daemon(args=START) as d:
        path = os.path.join(t, "large.ics")
        with open(path, "w") as f:
            f.write("BEGIN:VCALENDAR\r\nX-WR-TIMEZONE:America/New_York\r\n")
            for i in range(9999):
                f.write("BEGIN:VEVENT\r\nDTSTART:202612%02dT1000%02d\r\nSUMMARY:%0200d\r\nEND:VEVENT\r\n" %
                        (24 + i % 7, i % 60, i))
            f.write("END:VCALENDAR\r\n")
        size, before = os.path.getsize(path), read_by_the_loop(d)
        d.write_config({"schedules": [{"name": "own", "rrule": "starts " + path, "patterns": ["/q"]},
                                      {"name": "said", "rrule": "starts " + path, "tz": "Asia/Tokyo", "patterns": ["/q"]},
                                      {"name": "market", "rrule": "starts XTKS", "patterns": ["/q"]}]})
        d.signal(signal.SIGHUP)
        d.wait_log("event=reload ok=1")
        until("expanded", lambda: {r["name"] for r in d.ask("schedule.next", {"steps": 999})} >= {"own", "said"})
        rows = {r["name"]: r for r in d.ask("schedule.list")}
        assert rows["own"]["tz"] == "America/New_York" and rows["own"]["calendar"] == path, rows
        assert rows["said"]["tz"] == "Asia/Tokyo" and rows["market"]["tz"] == "Asia/Tokyo", rows
        if before is None:
            print("# who has read how much is not counted here")
            return
        read = read_by_the_loop(d) - before
        print("# of %d bytes the loop has read %d" % (size, read))
        assert read < size


@test
def the_next_instants_of_all_come_in_order():
    with Daemon(args=START) as d:
        for name, rule in (("h", "hourly"), ("q", "hourly :00,:15,:30,:45"), ("x", "daily 13:30")):
            add(d, name, rule)
        until("expanded", lambda: len({r["name"] for r in d.ask("schedule.next", {"steps": 100})}) == 3)
        rows = d.ask("schedule.next", {"steps": 9})
        assert len(rows) == 9 and [r["time_s"] for r in rows] == sorted(r["time_s"] for r in rows), rows
        assert [r["name"] for r in rows].count("q") == 7 and [r["name"] for r in rows].count("h") == 1, rows
        assert [r["time_s"] for r in rows if r["name"] == "x"] == [1798032600], rows
        assert len(d.ask("schedule.next", {"name": "q", "steps": 3})) == 3


@test
def what_cannot_be_is_refused_with_the_reason():
    with Daemon(args=START) as d:
        refused(d, "five years", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")
        refused(d, "five years", "at 2020-01-01T00:00")
        refused(d, "five years", "FREQ=DAILY;UNTIL=20200101T000000Z", start="2019-01-01T00:00")
        refused(d, "Mars/Phobos", "weekdays 09:30", tz="Mars/Phobos")
        refused(d, "XXXX", "starts XXXX")
        refused(d, "XXXX", "weekdays 09:30", calendar="XXXX")
        refused(d, "/no/such.ics", "starts /no/such.ics")
        refused(d, "SECONDLY", "FREQ=SECONDLY")
        refused(d, "lead: 7200 s is longer than the time between two instants, 3600 s", "hourly", lead_s=7200)
        refused(d, "9:60", "weekdays 9:60")
        assert "lead" in forecache(d, "schedule", "add", "x", "hourly", "-p", "/q", "--lead", "soon", status=2)
        assert d.ask("schedule.list") == []
        code, log = 0, ""
        with Daemon({"schedules": [{"name": "x", "rrule": "hourly", "lead": "2h", "patterns": ["/q"]}]}, start=False) as e:
            code, log = e.run()
        assert code == 78 and "schedules[0]" in log and "lead" in log, log
        with Daemon({"schedules": [{"name": "x", "rrule": "at 2020-01-01T00:00", "lead": "auto", "patterns": ["/q"]}]}) as e:
            e.wait_log("warn event=schedule name=x .*no instant within five years")


@test
def a_file_of_50_megabytes_is_refused_at_once():
    with tempfile.TemporaryDirectory() as t, Daemon(args=START) as d:
        path = os.path.join(t, "big.ics")
        with open(path, "w") as f:
            f.write("BEGIN:VCALENDAR\r\n")
            f.write("BEGIN:VEVENT\r\nDTSTART:20261224T100000Z\r\nEND:VEVENT\r\n" * 800000)
            f.write("END:VCALENDAR\r\n")
        assert os.path.getsize(path) > 40e6
        refused(d, "larger than 4194304 bytes", "starts " + path)
        refused(d, "larger than 4194304 bytes", "weekdays 09:30", calendar=path)


@test
def who_adds_a_large_file_holds_nobody_up():
    with tempfile.TemporaryDirectory() as t, Daemon(args=START) as d:
        path = os.path.join(t, "large.ics")
        with open(path, "w") as f:
            f.write("BEGIN:VCALENDAR\r\n")
            f.write("BEGIN:VEVENT\r\nDTSTART:20261224T100000Z\r\nSUMMARY:x\r\nEND:VEVENT\r\n" * 9999)
            f.write("END:VCALENDAR\r\n")
        added = d.client.send("schedule.add", {"name": "large", "rrule": "starts " + path, "patterns": ["/q"]})
        health = d.client.send("health")
        first, second = d.client.receive(), d.client.receive()
        assert first[0] == health and first[1] == 0, "a worker reads the file, and takes its time: " + repr(first)
        assert second[:2] == [added, 0] and d.ask("schedule.list")[0]["name"] == "large", second


@test
def schedules_that_overlap_or_say_the_opposite_are_all_carried_out():
    same = {"rrule": "hourly", "patterns": ["/q/<s>"]}
    config = {"schedules": [{"name": "a", **same}, {"name": "b", **same, "lead": "30m"},
                            {"name": "c", **same, "max_keys": 1, "lead": "1m"}]}
    with Daemon(config, args=["--time-scale", "3000"]) as d:
        for i in range(20):
            d.ask("event", [[None, "/q/<s>", "/q/%d" % i, "miss"]])
        until("each was reported", lambda: {r["name"] for r in d.ask("schedule.report")} == {"a", "b", "c"}, 60)
        assert d.ask("health")["status"] == "ready"


@test
def thousands_of_instants_follow_as_time_goes_on():
    minutes = ",".join(str(m) for m in range(60))
    with Daemon({"schedule_instants": 500}, args=START) as d:
        add(d, "often", "FREQ=HOURLY;BYMINUTE=" + minutes)
        rows = until("expanded", lambda: d.ask("schedule.next", {"name": "often", "steps": 1000}))
        assert len(rows) == 500 and rows[1]["time_s"] - rows[0]["time_s"] == 60, len(rows)
        for i in range(63):
            add(d, "s%d" % i, "hourly")
        assert "max_schedules" in d.refused("schedule.add", {"name": "one more", "rrule": "hourly", "patterns": ["/q"]}).text


if __name__ == "__main__":
    main()
