#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP origin that misbehaves on request: the first part of the path says how.

    origin_faults.py [PORT [PEM]]   prints "port N" and serves 127.0.0.1 until stdin ends;
                                    with PEM (certificate and key), over TLS

/ok/X             200, text/plain, body "value of X"
/json/N           200, application/json, the same content in N different spellings
/json-time/N      the same, with the number of the request in /meta/t
/etag/X           ETag: answers If-None-Match with 304; /etag-set/X?v=2 changes the value
/last-modified/X  Last-Modified an hour ago: answers If-Modified-Since with 304
/status/N         that status; 503 with Retry-After: 7
/hang/X           never answers
/slow/X           sends a byte of the body every 50 ms, for ever
/slow-header/X    sends a byte of a header every 50 ms, for ever
/close/X          closes without an answer
/short/X          Content-Length: 100 and 5 bytes
/short-chunk/X    a chunked answer that ends in the middle
/garbage/X        not HTTP
/huge/N           N bytes with their Content-Length
/endless/X        chunks without end
/bomb/X           64 MiB of zeros, compressed to 64 KiB
/headers/N        N bytes of headers
/redirect/N       to /redirect/N-1; /redirect/0 is a value
/redirect-away/X  to another port
/redirect-file/X  to file:///etc/passwd
/header?name=value&...   a value with these headers
/echo/...         the request line and headers as they came
/count/X          how many requests this path has had
"""
import gzip
import os
import ssl
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

versions = {}
counts = {}
connections = [0]
lock = threading.Lock()
BOMB = gzip.compress(bytes(64 << 20), 9)
START = formatdate(time.time() - 3600, usegmt=True)
SPELLINGS = [
    b'{"symbol":"IBM","bid":1.10,"ask":1.12,"tags":["a","\\u00e9"]}',
    b'{ "tags" : [ "a", "\xc3\xa9" ],\n "ask":1.12, "bid":1.10, "symbol":"\\u0049BM" }\n',
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def setup(self):
        with lock:
            connections[0] += 1
        super().setup()

    def log_message(self, *args):
        pass

    def send(self, body=b"", status=200, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self.send_response(status)
        headers.setdefault("Content-Type", "text/plain")
        if status not in (204, 304):
            headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self, *lines):
        self.wfile.write(("HTTP/1.1 200 OK\r\n" + "".join(l + "\r\n" for l in lines) + "\r\n").encode())
        self.close_connection = True

    def do_GET(self):
        url = urlsplit(self.path)
        what, _, rest = url.path.lstrip("/").partition("/")
        query = parse_qsl(url.query, keep_blank_values=True)
        with lock:
            counts[url.path] = counts.get(url.path, 0) + 1
        try:
            getattr(self, "do_" + what.replace("-", "_"))(rest, query)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_ok(self, rest, query):
        self.send(b"value of " + rest.encode())

    def do_json(self, rest, query):
        self.send(SPELLINGS[int(rest)], Content_Type="application/json; charset=utf-8")

    def do_json_time(self, rest, query):
        self.send(b'{"meta":{"t":%d},"v":%s}' % (counts[urlsplit(self.path).path], rest.encode()),
                  Content_Type="application/problem+json")

    def do_etag(self, rest, query):
        version = versions.get(rest, "1")
        tag = '"%s-%s"' % (rest, version)
        if self.headers.get("If-None-Match") == tag:
            self.send(status=304, ETag=tag)
        else:
            self.send(("%s %s" % (rest, version)).encode(), ETag=tag)

    def do_etag_set(self, rest, query):
        versions[rest] = dict(query)["v"]
        self.send(b"done")

    def do_last_modified(self, rest, query):
        if self.headers.get("If-Modified-Since") == START:
            self.send(status=304)
        else:
            self.send(b"old", Last_Modified=START)

    def do_last_modified_now(self, rest, query):
        if self.headers.get("If-Modified-Since"):
            self.send(b"asked", status=500)
        else:
            self.send(b"new", Last_Modified=self.date_time_string())

    def do_status(self, rest, query):
        extra = {"Retry-After": "7"} if rest == "503" else {}
        self.send(b"" if rest in ("204", "304") else b"error", status=int(rest), **extra)

    def do_hang(self, rest, query):
        time.sleep(3600)

    def do_slow(self, rest, query):
        self.begin("Content-Length: 1000000")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def do_slow_header(self, rest, query):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def do_close(self, rest, query):
        self.close_connection = True

    def do_short(self, rest, query):
        self.begin("Content-Length: 100")
        self.wfile.write(b"12345")

    def do_short_chunk(self, rest, query):
        self.begin("Transfer-Encoding: chunked")
        self.wfile.write(b"a\r\n12345")

    def do_garbage(self, rest, query):
        self.wfile.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
        self.close_connection = True

    def do_huge(self, rest, query):
        self.begin("Content-Length: " + rest)
        left = int(rest)
        while left > 0:
            left -= self.wfile.write(bytes(min(left, 65536)))

    def do_endless(self, rest, query):
        self.begin("Transfer-Encoding: chunked")
        while True:
            self.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")

    def do_bomb(self, rest, query):
        self.send(BOMB, Content_Encoding="gzip")

    def do_gzip(self, rest, query):
        self.send(gzip.compress(b"value of " + rest.encode()), Content_Encoding="gzip", Vary="Accept-Encoding")

    def do_headers(self, rest, query):
        lines = ["X-Fill-%d: %s" % (i, "x" * 1000) for i in range(int(rest) // 1000)]
        self.begin("Content-Length: 0", *lines)

    def do_redirect(self, rest, query):
        if rest == "0":
            self.send(b"arrived")
        else:
            self.send(status=302, Location="/redirect/%d" % (int(rest) - 1))

    def do_redirect_away(self, rest, query):
        self.send(status=302, Location="http://127.0.0.1:1/ok/x")

    def do_redirect_file(self, rest, query):
        self.send(status=302, Location="file:///etc/passwd")

    def do_redirect_loop(self, rest, query):
        self.send(status=307, Location=self.path)

    def do_header(self, rest, query):
        self.send(b"value", **dict(query))

    def do_echo(self, rest, query):
        self.send((self.requestline + "\n" + str(self.headers)).encode())

    def do_count(self, rest, query):
        self.send(str(counts.get("/" + rest, 0)).encode())

    def do_connections(self, rest, query):
        self.send(str(connections[0]).encode())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


def main():
    server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("port %d" % server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
