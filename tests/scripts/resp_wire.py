# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis client of the tests' own, that shows bytes as they come: raw replies and what they mean."""
import socket


class Closed(Exception):
    """The server has hung up."""


class Error(str):
    """An error reply."""


def encode(*args):
    out = [b"*%d\r\n" % len(args)]
    for a in args:
        a = a if isinstance(a, bytes) else str(a).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(a), a))
    return b"".join(out)


class Wire:
    """One connection: address is (host, port) or the path of a unix socket."""

    def __init__(self, address, timeout_s=30.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(address)
        self.buffer = b""
        self.at = 0

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        got = self.socket.recv(1 << 18)
        if not got:
            raise Closed()
        self.buffer = self.buffer[self.at:] + got
        self.at = 0

    def line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.at)
            if end >= 0:
                got = self.buffer[self.at:end]
                self.at = end + 2
                return got
            self.fill()

    def exactly(self, n):
        while len(self.buffer) - self.at < n:
            self.fill()
        got = self.buffer[self.at:self.at + n]
        self.at += n
        return got

    def reply(self):
        """One reply: None, int, bytes, Error, list, dict or set; ("simple", text) is bytes, too."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind in b"$=":
            n = int(rest)
            if n < 0:
                return None
            got = self.exactly(n + 2)[:-2]
            return got[4:] if kind == b"=" else got
        if kind in b"*~>":
            n = int(rest)
            return None if n < 0 else [self.reply() for _ in range(n)]
        if kind == b"%":
            return {_key(self.reply()): self.reply() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        raise AssertionError("not RESP: %r" % line)

    def typed(self):
        """One reply with its kind, to compare two servers by: (kind, value)."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind in b"$=":
            n = int(rest)
            return (kind, None if n < 0 else self.exactly(n + 2)[:-2])
        if kind in b"*~%>":
            n = int(rest)
            if n < 0:
                return (kind, None)
            return (kind, [self.typed() for _ in range(n * (2 if kind == b"%" else 1))])
        return (kind, rest)

    def ask(self, *args):
        self.send(encode(*args))
        return self.reply()

    def ask_many(self, commands):
        self.send(b"".join(encode(*c) for c in commands))
        return [self.reply() for _ in commands]

    def closed(self):
        """True once the server has hung up; what it said before is thrown away."""
        try:
            while self.socket.recv(1 << 16):
                pass
            return True
        except (ConnectionResetError, BrokenPipeError):
            return True
        except socket.timeout:
            return False

    def close(self):
        self.socket.close()


def _key(k):
    return k if isinstance(k, (bytes, int)) else repr(k)


def port_of(daemon):
    """The port that a fcd.Daemon with "redis": "127.0.0.1:0" has got."""
    return int(daemon.wait_log(r"event=redis .*port=(\d+)").group(1))


def connect(daemon, **kw):
    return Wire(("127.0.0.1", port_of(daemon)), **kw)
