#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and ending: the lock, stale sockets, permissions, room for the segment, a damaged state file."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import msgpack
import zmq

from fcd import Client, Daemon, main, test, until


@test
def a_second_daemon_of_a_directory_names_the_first():
    with Daemon() as d:
        with Daemon(directory=d.base, start=False) as second:
            code, log = second.run()
            assert code == 75 and "pid %d" % d.process.pid in log, log
            second.dir = second.base  # its close() is not to take the first one's segment
        assert d.ask("health")["status"] == "ready"


@test
def sockets_that_a_killed_daemon_left_are_taken_over():
    with Daemon() as d:
        d.kill9()
        assert os.path.exists(d.dir + "/requests")
        d.start()
        assert d.ask("health")["status"] == "ready"


@test
def a_socket_that_somebody_else_serves_is_left_alone():
    with Daemon(start=False) as d:
        os.mkdir(d.dir, 0o700)
        s = socket.socket(socket.AF_UNIX)
        s.bind(d.dir + "/requests")
        s.listen()
        code, log = d.run()
        assert code == 75 and "requests" in log and "another process" in log, log
        assert os.path.exists(d.dir + "/requests")
        s.close()


@test
def a_directory_that_is_open_to_others_is_refused():
    with Daemon(start=False) as d:
        os.mkdir(d.dir)
        os.chmod(d.dir, 0o777)
        code, log = d.run()
        assert code == 1 and "0777" in log and "chmod" in log, log
    with Daemon() as d:
        assert os.stat(d.dir).st_mode & 0o777 == 0o700
        for name in ("requests", "events", "loaders", "notices"):
            assert os.stat(d.dir + "/" + name).st_mode & 0o077 == 0
        assert os.stat(d.dir + "/segment").st_mode & 0o777 == 0o600
    with Daemon({"segment_mode": "0640"}) as d:
        assert os.stat(d.dir + "/segment").st_mode & 0o777 == 0o640


@test
def a_path_that_is_too_long_for_a_socket_is_refused():
    with Daemon(start=False) as d:
        d.dir = d.base + "/" + "x" * 120
        code, log = d.run()
        assert code == 1 and "107" in log, log


@test
def no_permission_is_told():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return "needs root and setpriv"
    if subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "true"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        return "needs programs and libraries that other users may read"
    with Daemon(start=False, user="65534") as d:
        os.chmod(d.base, 0o755)
        code, log = d.run()
        assert code == 1 and d.dir in log and "Permission denied" in log, log
        os.mkdir(d.dir, 0o700)
        os.chown(d.dir, 65534, -1)
        state = d.base + "/state"
        os.mkdir(state, 0o700)
        d.args = ["--state", state]
        code, log = d.run()
        assert code == 1 and state in log and "no permission" in log and "65534" in log, log


@test
def a_start_that_fails_leaves_no_segment():
    def segments():
        return {n for n in os.listdir("/dev/shm") if n.startswith("forecached-")}

    def failing(d):
        code, log = d.run()
        assert code == 1 and "107 bytes" in log and "event=segment " in log, log
        return re.search(r"event=segment path=(\S+)", log).group(1)

    with Daemon(start=False) as d:
        d.dir = os.path.join(d.base, "d" * 90)
        path = failing(d)
        assert not os.path.exists(path) and not os.path.lexists(d.dir + "/segment"), path
    # what an earlier daemon has left stays
    with Daemon() as d:
        d.ask("set", "/a", b"v", {"ttl_s": 600})
        d.kill9()
        d.write_config(dict(d.config, requests="ipc:///" + "x" * 200))
        path = failing(d)
        assert os.path.exists(path) and os.path.lexists(d.dir + "/segment")
        d.write_config(d.config)
        d.start()
        assert d.ask("get", "/a")["value"] == b"v"


@test
def values_whose_time_was_over_are_no_damage():
    with Daemon({"endpoints": [{"match": "*", "ttl": "obey", "grace": 0}]}) as d:
        for i in range(30):
            d.ask("set", "/short/%d" % i, b"v", {"ttl_s": 1, "read_s": time.time() - 0.5})
        for i in range(5):
            d.ask("set", "/long/%d" % i, b"v", {"ttl_s": 600})
        until("over", lambda: d.ask("get", "/short/29", {"mode": "peek"})["value"] is None)
        assert d.stop() == 0
        d.start()
        health = d.ask("health")
        assert (health["restored_entries"], health["expired_entries"], health["dropped_entries"]) == (5, 30, 0), health
        d.wait_log("event=segment .*entries=5 expired=30 dropped=0")


@test
def a_segment_that_does_not_fit_is_told_with_the_sizes():
    fs = os.statvfs("/dev/shm")
    # more than there can ever be: what is free may grow until the daemon looks, and then it would be taken
    size = fs.f_blocks * fs.f_frsize
    if size + (64 << 20) > (64 << 30):
        return "/dev/shm is larger than any segment"
    with Daemon({"segment_bytes": size + (64 << 20)}, start=False) as d:
        code, log = d.run()
        assert code == 1 and "segment_bytes" in log and "MiB free" in log, log
        assert not os.path.lexists(d.dir + "/segment")
        names = [n for n in os.listdir("/dev/shm") if n.startswith("forecached-")]
        assert all(os.path.getsize("/dev/shm/" + n) < size for n in names), names
    with Daemon({"segment_dir": "/does/not/exist"}, start=False) as d:
        code, log = d.run()
        assert code == 1 and "/does/not/exist" in log, log


@test
def the_segment_outlives_a_kill_and_another_size_starts_anew():
    with Daemon() as d:
        for i in range(100):
            d.ask("set", "/k/%d" % i, b"v%d" % i, {"ttl_s": 600})
        d.kill9()
        d.start()
        assert d.ask("health")["restored_entries"] == 100
        for i in range(100):
            assert d.ask("get", "/k/%d" % i, {"mode": "peek"})["value"] == b"v%d" % i
        d.kill9()
        d.config["segment_bytes"] = 8 << 20
        d.write_config(d.config)
        d.start()
        assert d.ask("health")["restored_entries"] == 0
        assert d.ask("get", "/k/1", {"mode": "peek"})["value"] is None


@test
def a_segment_full_of_garbage_is_not_believed():
    seed = int(os.environ.get("SEED", "1"))
    print("# seed %d" % seed)
    rng = random.Random(seed)
    with Daemon({"segment_bytes": 1 << 20}) as d:
        for round in range(10):
            for i in range(200):
                d.ask("set", "/g/%d" % i, b"value %d" % i, {"ttl_s": 600})
            d.kill9()
            with open(d.dir + "/segment", "r+b") as f:
                if round == 0:
                    f.write(rng.randbytes(1 << 20))
                for _ in range(300):
                    f.seek(rng.randrange(256, 1 << 20))
                    f.write(rng.randbytes(rng.randrange(1, 64)))
            d.start()
            for i in range(200):
                got = d.ask("get", "/g/%d" % i, {"mode": "peek"})["value"]
                assert got in (None, b"value %d" % i), got


@test
def what_was_learned_comes_back_and_damage_is_set_aside():
    with Daemon({"flush_s": 0.1}) as d:
        for i in range(50):
            d.ask("set", "/s/%d" % i, b"v", {"ttl_s": 600, "endpoint": "/s/<i>"})
            d.ask("get", "/s/%d" % i)
        assert d.stop() == 0
        d.start()
        assert d.ask("health")["restored_records"] >= 50, d.ask("health")
        path = d.dir + "/state/learned.sqlite"
        assert d.stop() == 0
        for damage in ("truncate", "garbage", "empty"):
            with open(path, "r+b") as f:
                if damage == "truncate":
                    f.truncate(os.path.getsize(path) // 2 - 7)
                elif damage == "garbage":
                    f.write(random.Random(2).randbytes(8000))
                else:
                    f.truncate(0)
            for side in ("-wal", "-shm"):
                if os.path.exists(path + side):
                    os.unlink(path + side)
            d.start()
            if damage != "empty":
                d.wait_log(r"event=state_file .*why=")
            assert d.ask("set", "/s/1", b"w", {"ttl_s": 60}) == {"count": 1}
            assert d.stop() == 0


@test
def a_disk_that_is_full_keeps_the_daemon_going():
    if os.geteuid() != 0:
        return "needs root"
    with Daemon(start=False) as d:
        state = d.base + "/small"
        os.mkdir(state, 0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", state], capture_output=True).returncode:
            return "may not mount"
        try:
            d.args = ["--state", state]
            d.config["flush_s"] = 0.1
            d.write_config(d.config)
            d.start()
            for i in range(3000):
                d.ask("set", "/full/%d" % i, b"v", {"ttl_s": 600})
            d.wait_log(r"warn event=state_file")
            assert d.ask("get", "/full/1")["value"] == b"v"
            assert d.ask("health")["state"] == "failing"
            assert d.stop() == 0
        finally:
            d.close()
            subprocess.run(["umount", "-l", state], capture_output=True)


@test
def a_small_shared_memory_is_told():
    if os.geteuid() != 0:
        return "needs root"
    with Daemon({"segment_bytes": 4 << 20}, start=False) as d:
        shm = d.base + "/shm"
        os.mkdir(shm)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", shm], capture_output=True).returncode:
            return "may not mount"
        try:
            d.config["segment_dir"] = shm
            d.write_config(d.config)
            code, log = d.run()
            assert code == 1 and "1.0 MiB free of 1.0 MiB" in log and "4.0 MiB" in log, log
            assert os.listdir(shm) == []
        finally:
            subprocess.run(["umount", "-l", shm], capture_output=True)


@test
def sigterm_answers_what_waits_and_exits_with_0():
    with Daemon({"drain_s": 20}) as d:
        lease = d.ask("lease", "/drain")["lease"]
        other = Client(d.dir)
        other.send("lease", "/drain")
        until("a waiter", lambda: d.ask("stats")["waiters"] == 1)
        d.signal(signal.SIGTERM)
        d.wait_log("event=stop waiting=1")
        assert d.process.poll() is None
        # nothing new is taken: the wait ends with the lease, 10 s, or with the second signal
        d.signal(signal.SIGTERM)
        reply = other.receive()
        assert reply[1] == 5, reply  # busy
        assert d.process.wait(timeout=30) == 0
        assert lease and not os.path.exists(d.dir + "/requests")
        other.close()


@test
def the_clock_runs_as_fast_as_it_is_told():
    with Daemon(args=["--time-scale", "3600", "--time-start", "2026-11-23T09:00:00Z"]) as d:
        first = d.ask("hello")
        assert first["time_scale"] == 3600
        start = 1795424400.0
        assert start <= first["time_s"] < start + 3600 * 60, first
        began = time.monotonic()
        until("an hour", lambda: d.ask("hello")["time_s"] >= first["time_s"] + 3600)
        assert time.monotonic() - began < 15
        d.ask("set", "/fast", b"v", {"ttl_s": 60})
        until("expiry", lambda: d.ask("get", "/fast", {"mode": "peek"})["value"] is None)


@test
def a_clock_that_was_set_back_makes_nothing_younger():
    # a clock that runs ahead of the wall clock, then a daemon that goes by the wall clock again
    with Daemon({"ttl": "obey"}, args=["--time-scale", "3600"]) as d:
        assert d.ask("set", "/old", b"v", {"ttl_s": 80000}) == {"count": 1}
        until("two hours", lambda: (d.ask("get", "/old", {"mode": "peek"})["age_s"] or 0) > 7200)
        ttl_s = d.ask("get", "/old", {"mode": "peek"})["ttl_s"]
        d.kill9()
        d.args = []
        d.start()
        got = d.ask("get", "/old", {"mode": "peek"})
        assert got["value"] == b"v" and got["age_s"] > 7200 and got["ttl_s"] <= ttl_s, got
        # and yet it knows what time it is
        assert abs(d.ask("hello")["time_s"] - time.time()) < 5
        assert d.ask("event", [[time.time(), None, "/old", "hit"]])["accepted"] == 1
        assert d.ask("event", [[time.time() + 60, None, "/old", "hit"]])["refused"] == 1
        assert d.ask("set", "/new", b"v", {"ttl_s": 60, "read_s": time.time() - 5}) == {"count": 1}
        assert 4 < d.ask("get", "/new")["age_s"] < 20


@test
def schedules_come_and_go_and_are_kept():
    conf = {"schedules": [{"name": "conf", "rrule": "daily 07:00", "patterns": ["/a/<x>", "/b/<x>"]}]}
    with Daemon(conf, args=["--time-start", "2026-11-23T06:59:00Z", "--time-scale", "20"]) as d:
        sub = d.socket(zmq.SUB, "notices")
        until("expansion", lambda: d.ask("schedule.list")[0]["next_s"])
        assert d.ask("schedule.list")[0]["next_s"] == 1795417200.0
        assert d.ask("schedule.add", {"name": "mine", "rrule": "FREQ=HOURLY;BYMINUTE=15", "tz": "Asia/Tokyo",
                                      "patterns": ["/c/<x>"], "lead_s": 60})["count"] == 1
        due = until("expansion", lambda: d.ask("schedule.next", {"name": "mine", "steps": 5}))
        assert len(due) == 5 and due[1]["time_s"] - due[0]["time_s"] == 3600, due
        assert d.refused("schedule.add", {"name": "conf", "rrule": "daily 08:00", "patterns": ["*"]}).code == "denied"
        assert d.refused("schedule.remove", "conf").code == "denied"
        assert d.refused("schedule.remove", "none").code == "not_found"
        for wrong, word in (({"rrule": "FREQ=MINUTELY"}, "MINUTELY"), ({"tz": "Nowhere"}, "Nowhere"),
                            ({"rrule": "BYDAY=MO"}, "FREQ"), ({"patterns": []}, "patterns"),
                            ({"patterns": ["/x/*/y"]}, "patterns")):
            e = d.refused("schedule.add", {"name": "w", "rrule": "daily 07:00", "patterns": ["*"], **wrong})
            assert e.code == "bad_request" and word in e.text, (wrong, e)

        def peak():
            while sub.poll(20):
                n = msgpack.unpackb(sub.recv_multipart()[1])
                if n["what"] == "peak":
                    return n
            return None

        assert until("the peak", peak)["name"] == "conf"
        assert d.ask("schedule.report", {"name": "conf"})[0]["time_s"] >= 1795417200.0
        d.kill9()
        d.start()
        assert sorted(s["name"] for s in d.ask("schedule.list")) == ["conf", "mine"]
        assert d.ask("schedule.remove", "mine") == {"count": 1, "saved": True}
        assert d.stop() == 0
        d.start()
        assert [s["name"] for s in d.ask("schedule.list")] == ["conf"]


if __name__ == "__main__":
    main()
