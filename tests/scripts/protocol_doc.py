#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/protocol.md: what is written and what stands there as bytes are the same, the C code
reads them, and a running daemon answers them as the page says.

An example is a fenced block that begins with "msgpack KIND": a line in readable form, and the same in hex.
    request            must be read; a daemon must answer it (see DAEMON below)
    request refused    must be refused with the status of the reply that follows
    reply              what a daemon answers to the request before, exactly
    reply like         the same status, shape, names and types, but other numbers
    events, loader, told, notice
protocol_doc.py --write fills in the hex."""
import os, re, signal, subprocess, sys, tempfile
import msgpack

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
build = os.environ.get("top_builddir", top)
path = os.path.join(top, "docs", "protocol.md")
BLOCK = re.compile(r"^```msgpack ([a-z ]+)\n(.+)\n((?:[0-9a-f ]+\n)*)```$", re.M)
tests = failed = 0


def ok(good, what, why=""):
    global tests, failed
    tests += 1
    failed += not good
    print("%sok %d - %s" % ("" if good else "not ", tests, what))
    if not good:
        print("# " + str(why).replace("\n", "\n# "))


def value(text):
    return eval(text, {"__builtins__": {}}, {"nil": None, "true": True, "false": False})


def hexed(data):
    return "".join(" ".join("%02x" % b for b in data[i:i + 32]) + "\n" for i in range(0, len(data), 32))


def fill(match):
    return "```msgpack %s\n%s\n%s```" % (match[1], match[2], hexed(msgpack.packb(value(match[2]))))


def alike(got, want, where="result"):
    """None, or what differs: names and kinds must be the same, numbers may be others or nil."""
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return "%s is no map" % where
        missing = [k for k in want if k not in got]
        if missing:
            return "%s lacks %s" % (where, missing)
        return next((d for k in want for d in [alike(got[k], want[k], where + "." + k)] if d), None)
    if isinstance(want, list):
        if not isinstance(got, list):
            return "%s is no array" % where
        if where == "result" and len(got) < len(want):
            return "%s has %d values, not %d" % (where, len(got), len(want))
        return next((d for g, w in zip(got, want) for d in [alike(g, w, where + "[]")] if d), None)
    if isinstance(want, (int, float)) and not isinstance(want, bool):
        return None if got is None or isinstance(got, (int, float)) else "%s is no number" % where
    if want is None:
        return None
    return None if type(got) == type(want) else "%s is %r, not like %r" % (where, got, want)


def tables(text):
    def rows(name):
        out = subprocess.run([os.path.join(build, "tests/unit/proto_check"), name], stdout=subprocess.PIPE,
                             check=True).stdout.decode()
        return [line.split() for line in out.splitlines()]
    missing = [r for r in rows("limits") if "| %s | %s |" % (r[0], r[1]) not in text]
    ok(not missing, "the table of limits is that of the code", missing)
    missing = [r for r in rows("statuses") if "| %s | %s |" % (r[0], r[1]) not in text]
    ok(not missing, "the table of statuses is that of the code", missing)
    shown = {value(m[2])[1] for m in BLOCK.finditer(text) if m[1] == "request"}
    missing = [r[0] for r in rows("operations") if r[0] not in shown]
    ok(not missing, "each operation has an example", missing)


def daemon(examples):
    exe = os.path.join(build, "daemon", "forecached")
    if not os.access(exe, os.X_OK):
        ok(True, "a daemon answers as the page says # SKIP no daemon is built")
        return
    import zmq
    with tempfile.TemporaryDirectory(prefix="fcdoc") as d:
        conf = os.path.join(d, "conf")
        with open(conf, "w") as f:
            f.write('{"segment_bytes": 1048576, "state": "%s/state"}' % d)
        log = open(os.path.join(d, "log"), "w+")
        p = subprocess.Popen([exe, "--config", conf, "--dir", d, "--redis", "off", "--http", "off"], stdout=log, stderr=log)
        try:
            requests(zmq, d, examples, p)
        finally:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
            if failed:
                log.seek(0)
                print("".join("# " + line for line in log.readlines()[-30:]))


def requests(zmq, d, examples, p):
    ctx = zmq.Context()
    s = ctx.socket(zmq.DEALER)
    s.setsockopt(zmq.LINGER, 0)
    s.setsockopt(zmq.RCVTIMEO, 10000)
    s.connect("ipc://%s/requests" % d)
    for i, (kind, text, data) in enumerate(examples):
        if not kind.startswith("request"):
            continue
        s.send(data)
        try:
            got = msgpack.unpackb(s.recv_multipart()[-1])
        except zmq.Again:
            ok(False, "answered: " + text, "no answer (daemon: %s)" % p.poll())
            continue
        want = examples[i + 1] if i + 1 < len(examples) and examples[i + 1][0].startswith("reply") else None
        asked = value(text)
        if not want:
            ok(got[0] == asked[0] and got[1] in (0, 3, 9), "answered: " + text, got)
        elif want[0] == "reply":
            ok(got == value(want[1]), "answered: " + text, got)
        else:
            w = value(want[1])
            why = alike(got[2], w[2]) if got[:2] == w[:2] else "status"
            ok(why is None, "answered: " + text, "%s: %s" % (why, got))
    s.send(msgpack.packb([90, "export"]))
    records = msgpack.unpackb(s.recv_multipart()[-1])[2]["records"]
    s.send(msgpack.packb([91, "import", records]))
    got = msgpack.unpackb(s.recv_multipart()[-1])
    ok(len(records) > 0 and got == [91, 0, {"count": len(records)}], "what export gives, import takes", got)
    leases(s)
    s.close()
    ctx.term()


def leases(s):
    """Of three who want to load, one gets to; its word that it could not frees the others; a set does, too."""
    def send(*request):
        s.send(msgpack.packb(request))

    def receive():
        return msgpack.unpackb(s.recv_multipart()[-1])
    for i in 100, 101, 102:
        send(i, "lease", "/jobs/1")
    first = receive()
    lease = first[2].get("lease")
    send(103, "lease", "/jobs/1", {"failed": lease})
    got = {r[0]: r[1] for r in [receive() for _ in range(3)]}
    ok(first[0] == 100 and lease and got == {101: 6, 102: 6, 103: 0}, "a failed lease frees those who wait", got)
    for i in 110, 111:
        send(i, "lease", "/jobs/2")
    lease = receive()[2]["lease"]
    send(112, "set", "/jobs/2", b"done", {"lease": lease})
    got = {r[0]: r[2].get("value") for r in [receive() for _ in range(2)]}
    ok(got == {111: b"done", 112: None}, "those who wait for a lease get what was set", got)
    send(113, "set", "/jobs/2", b"late", {"lease": lease})
    got = receive()
    ok(got[1] == 7, "a lease is good for one set", got)


def main():
    text = open(path).read()
    if "--write" in sys.argv:
        open(path, "w").write(BLOCK.sub(fill, text))
        return 0
    examples = []
    for m in BLOCK.finditer(text):
        data = bytes.fromhex(m[3])
        examples.append((m[1], m[2], data))
        if msgpack.packb(value(m[2])) != data:
            ok(False, "bytes of " + m[2], "protocol_doc.py --write fills them in")
    ok(len(examples) > 50, "%d examples stand there with their bytes" % len(examples), len(examples))
    ok(len(examples) == text.count("```msgpack"), "and none has another form", text.count("```msgpack"))
    tables(text)
    lines = "".join("%s %s\n" % (k.split()[0], d.hex()) for k, _, d in examples)
    out = subprocess.run([os.path.join(build, "tests/unit/proto_check")], input=lines.encode(),
                         stdout=subprocess.PIPE).stdout.decode().splitlines()
    ok(len(out) == len(examples), "all were looked at", "%d of %d" % (len(out), len(examples)))
    for i, ((kind, text, _), said) in enumerate(zip(examples, out)):
        if kind == "request refused":
            want = value(examples[i + 1][1])[2][1]
            ok(said == "bad " + want, "refused: " + text, said)
        elif kind == "events":
            ok(said.startswith("ok") and said.endswith("refused 0"), "read: " + text, said)
        else:
            ok(said.startswith("ok") and "but" not in said, "read: " + text, said)
    daemon(examples)
    print("1..%d" % tests)
    return failed > 0


sys.exit(main())
