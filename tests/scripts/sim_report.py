#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""forecache simulate --frontier and forecache report from outside, on a log with hostile names.

The frontier is compared with single runs of simulate; the page is read with a parser that knows what
a browser would run or fetch.
"""
import html.parser
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

FORECACHE = os.path.join(os.environ["top_builddir"], "cli", "forecache")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
DAY = 86400
START = 1_789_948_800  # a Monday, 00:00 UTC
DAYS = 6
HOSTILE = [b"/a/<id>", b"</title><script>alert(1)</script>", b"<img src=x onerror=alert(2)>",
           b"\" onmouseover=\"alert(3)", b"'; set output 'pwned'; !touch pwned #", b"$(touch pwned)`touch pwned`",
           b"EOD\\nEND\\nplot", b"&lt;&amp;%s%n", b"\x1b[31mred\x07", b"\xff\xfe\x80", "\u202egnp.exe".encode(),
           b"]]><!--", b"x" * 5000, b"/*/*"]
GNUPLOT = shutil.which("gnuplot")
tests = 0


def check(ok, name, why=""):
    global tests
    tests += 1
    print(f"{'ok' if ok else 'not ok'} {tests} - {name}")
    if not ok:
        print("# " + repr(why)[:2000])
    return ok


def skip(name, why):
    global tests
    tests += 1
    print(f"ok {tests} - {name} # SKIP {why}")


def make_trace(where):
    """A key per endpoint besides the first; half of the requests come daily between 9:00 and 9:30."""
    rng = random.Random(SEED)
    keys = [(HOSTILE[0], b"/a/%d" % i) for i in range(20)] + [(e, e + b"#1") for e in HOSTILE[1:]]
    rows = []
    for day in range(DAYS):
        rows += [day * DAY + rng.uniform(0, DAY) for _ in range(1500)]
        rows += [day * DAY + 9 * 3600 + rng.uniform(0, 1800) for _ in range(1500)]
    with open(os.path.join(where, "R.tsv"), "wb") as f:
        f.write(b"time_s\tendpoint\tkey\tbytes\tload_ms\n")
        for t in sorted(rows):
            f.write(b"%.6f\t%s\t%s\t100\t200\n" % (START + t, *rng.choice(keys)))
    changes = []
    for _, key in keys[:-1]:  # the last one is not known to change
        t, rate = 0.0, math.exp(rng.uniform(math.log(1 / 2e4), math.log(1 / 300)))
        while (t := t + rng.expovariate(rate)) < DAYS * DAY:
            changes.append((t, key))
    with open(os.path.join(where, "C.tsv"), "wb") as f:
        f.write(b"time_s\tkey\n")
        f.writelines(b"%.6f\t%s\n" % (START + t, key) for t, key in sorted(changes))


def run(where, *args, path=None):
    env = dict(os.environ, **({"PATH": path} if path else {}))
    return subprocess.run([FORECACHE, *args], cwd=where, capture_output=True, env=env)


def simulate(where, *args, **kw):
    return run(where, "simulate", "--requests", "R.tsv", "--changes", "C.tsv", *args, **kw)


def in_all(policy):
    """The figures over all requests: a frontier has no others."""
    return {k: v for k, v in policy.items() if k not in ("endpoints", "worst_half_hour")}


def test_frontier(where):
    done = simulate(where, "--frontier=0.01,0.05", "--json")
    if not check(done.returncode == 0, "the frontier runs", done.stderr):
        return
    points = json.loads(done.stdout)["frontier"]
    check([p["max_stale"] for p in points] == [0.01, 0.05], "a point per objective", points)
    names = ["learn", "static-best", "endpoint-best", "alex-best", "bound"]
    for p in points:
        alone = json.loads(simulate(where, "--max-stale", str(p["max_stale"]), "--json",
                                    *(x for n in names for x in ("--policy", n))).stdout)["policies"]
        check([in_all(x) for x in alone] == p["policies"],
              f"at {p['max_stale']} each policy reaches what it reaches alone", (alone, p["policies"]))
        learned = p["policies"][0]
        same = json.loads(simulate(where, "--max-stale", repr(learned["stale_per_request"] * (1 + 1e-12)), "--json",
                                   "--policy", "static-best").stdout)["policies"][0]
        check(in_all(same) == p["static_same_stale"] and
              same["stale_per_request"] <= learned["stale_per_request"],
              "and the single TTL beside learn is as stale as learn",
              (learned["stale_per_request"], in_all(same), p["static_same_stale"]))
    one = simulate(where, "--frontier=0.01,0.05", "--json", "--threads", "1")
    check(one.stdout == done.stdout, "threads change nothing")
    table = simulate(where, "--frontier=0.01,0.05")
    lines = [x for x in table.stdout.decode().splitlines() if re.match(r" +[15] % ", x)]
    check(len(lines) == 10 and all("%" in x for x in lines), "the table has a row per point", table.stdout)


def test_refusals(where):
    for want, args, text in (
            (2, ["--frontier=0.1,x"], "shares from 0 to 0.5"),
            (2, ["--frontier=0.6"], "shares from 0 to 0.5"),
            (2, ["--frontier=0.1,0.05"], "must ascend"),
            (2, ["--frontier=" + ",".join(f"0.0{i:02d}" for i in range(1, 14))], "more than 12"),
            (2, ["--frontier", "--policy", "learn"], "its own policies"),
            (2, ["--frontier", "--max-stale", "0.1"], "takes the objectives itself"),
            (2, ["--frontier", "--chart", "x.gif"], ".svg or .png"),
            (2, ["--chart", "x.svg"], "--frontier"),
            (1, ["--frontier=0.01", "--chart", "/nonexistent/x.svg"], "/nonexistent/x.svg")):
        if "/nonexistent/x.svg" in args and not GNUPLOT:
            skip("an unwritable chart", "no gnuplot")
            continue
        done = simulate(where, *args)
        check(done.returncode == want and text in done.stderr.decode(), f"{' '.join(args)[:60]}: refused with {want}",
              (done.returncode, done.stderr))
    done = run(where, "simulate", "--requests", "R.tsv", "--frontier")
    check(done.returncode == 2 and b"needs --changes" in done.stderr, "no frontier without changes", done.stderr)
    done = simulate(where, "--frontier=0.01", "--chart", "x.svg", path="/nonexistent")
    check(done.returncode == 1 and b"apt-get install gnuplot" in done.stderr and not done.stdout,
          "a chart without gnuplot: what to install is said, before the work is done", done.stderr)
    for args in (["report"], ["report", "a", "b"], ["report", "R.tsv", "--json", "--out", "-"]):
        done = run(where, *args)
        check(done.returncode == 2, f"{' '.join(args)}: refused", done.stderr)
    done = run(where, "report", "R.tsv", "--out", "/nonexistent/x.html")
    check(done.returncode == 1 and b"/nonexistent/x.html:" in done.stderr, "a page that cannot be written is named",
          done.stderr)


def test_charts(where):
    if not GNUPLOT:
        skip("charts as files", "no gnuplot")
        return
    for name, begins in (("F.svg", b"<?xml"), ("F.png", b"\x89PNG")):
        done = simulate(where, "--frontier=0.01,0.05", "--chart", name, "--json")
        with open(os.path.join(where, name), "rb") as f:
            picture = f.read()
        check(done.returncode == 0 and picture.startswith(begins), f"--chart {name} is one", (done.stderr, picture[:50]))
        check(name.endswith("png") or all(x in picture for x in (b"learn", b"static-best", b"bound")),
              "with all policies", picture[:50])


class Page(html.parser.HTMLParser):
    """What is in a page: its text, tags that are not closed, and whatever is not just shown."""
    VOID = {"meta", "br", "rect", "circle", "path", "use", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.words, self.tags, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        self.text = "".join(self.words)
        self.wrong += [f"{t} is not closed" for t in self.open]
        self.wrong += [f"id {i} twice" for i in set(self.ids) if self.ids.count(i) > 1]

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name.startswith("on") or name in ("src", "srcset", "action", "style", "formaction"):
                self.wrong.append(f"<{tag} {name}={value}>")
            if name.endswith("href") and not value.startswith("#"):
                self.wrong.append(f"<{tag} {name}={value}>")
        if tag in ("script", "img", "iframe", "object", "embed", "link", "base", "form", "input", "foreignobject"):
            self.wrong.append(f"<{tag}>")

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> in {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_comment(self, data):
        self.wrong.append(f"<!--{data}")

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def report(where, *args, name="P.html", path=None):
    done = run(where, "report", *args, "--out", name, path=path)
    text = ""
    if done.returncode == 0:
        with open(os.path.join(where, name), encoding="utf-8", newline="") as f:
            text = f.read()
    return done, text


def check_page(text, what):
    page = Page(text)
    check(text.startswith("<!DOCTYPE html>") and text.endswith("</html>\n") and not page.wrong,
          f"{what}: is whole, runs nothing and fetches nothing", page.wrong)
    controls = [c for c in text if (c < " " and c not in "\n\t\r") or "\x7f" <= c < "\xa0" or c in "\u202e\ufeff"]
    check(not controls, f"{what}: has no characters that steer or hide", controls)
    check("default-src 'none'" in text and 'lang="en"' in text and "prefers-color-scheme: dark" in text and
          "@media print" in text and "<title>" in text, f"{what}: has what a good page has")
    return page


def hits_alone(text):
    """Tables that have hits without staleness beside it, and whether there was any table."""
    heads = [re.findall(r"<th scope=\"col\"[^>]*>([^<]*)</th>", x) for x in text.split("<thead>")[1:]]
    return [h for h in heads for i, c in enumerate(h) if c.endswith("hits") and
            not any(x.endswith("stale") for x in h[max(i - 1, 0):i + 2])] if any("hits" in h for h in heads) else ["none"]


def test_page(where):
    done, text = report(where, "R.tsv", "--changes", "C.tsv", "--max-stale", "0.02", "--frontier=0.01,0.05",
                        "--json")
    if not check(done.returncode == 0, "the report is written", done.stderr):
        return
    page, told = check_page(text, "the page"), json.loads(done.stdout)
    for part in ("<script>alert(1)</script>", "<img src=x onerror=alert(2)>", '" onmouseover="alert(3)',
                 "'; set output 'pwned'; !touch pwned #", "$(touch pwned)`touch pwned`", "&lt;&amp;%s%n",
                 "\\x1b[31mred\\x07", "\\xff\\xfe\\x80", "\\u202egnp.exe", "]]><!--"):
        check(part in page.text, f"{part} is shown as it is", page.text[:100])
    check("x" * 200 not in page.text and "x" * 100 + "x" in page.text, "a long name is cut")
    check(not os.path.exists(os.path.join(where, "pwned")), "and nothing of it was run")
    check([p["max_stale"] for p in told["frontier"]] == [0.01, 0.02, 0.05], "the objective is among those compared",
          told["frontier"])
    own = told["frontier"][1]
    learned = own["policies"][0]
    check(sum(learned["loads"].values()) > 0 and str(sum(learned["loads"].values())) in page.text,
          "the loads of learn are those of the frontier")
    check(f"{learned['loads_per_request']:.4f}" in page.text and
          f"{own['static_same_stale']['loads_per_request']:.4f}" in page.text, "beside those of the TTL as stale")
    check(len(told["learned"]) == len(HOSTILE), "each endpoint has a TTL", told["learned"])
    check([p for p in told["peaks"] if p["endpoint"] == "/a/<id>"][0]["busiest"].endswith("09:00"),
          "the peak is found", told["peaks"])
    check("schedule add peak-1 'daily 09:00' --pattern '/a/<id>'" in page.text, "and a schedule offered")
    check("1 of 33 keys" in page.text, "keys without changes are owned up to")
    check(hits_alone(text) == [], "staleness stands beside hits in every table", hits_alone(text))
    if GNUPLOT:
        check(page.tags.count("svg") >= 2 and 'role="img"' in text and "aria-label" in text, "charts are in the page")
    else:
        skip("charts in the page", "no gnuplot")
    again = os.path.join(where, "<b>&'x'.tsv")
    shutil.copy(os.path.join(where, "R.tsv"), again)
    done, text = report(where, os.path.basename(again), "--changes", "C.tsv", "--frontier=0.01", path="/nonexistent")
    page = check_page(text, "a page without gnuplot")
    check(done.returncode == 0 and "svg" not in page.tags and "no gnuplot" in page.text and
          "apt-get install gnuplot" in page.text, "says that there are no charts", done.stderr)
    check("<b>&'x'.tsv" in page.text and page.tags.count("table") >= 5, "and has the tables")


def test_demand_alone(where):
    with open(os.path.join(where, "access.log"), "w") as f:
        for i in range(600):
            f.write(f'10.0.0.1 - - [{23 + i // 300}/Nov/2026:{i % 300 // 30:02d}:{i % 30 * 2:02d}:00 +0100] '
                    f'"GET /quotes/{i % 7}?t={i} HTTP/1.1" 200 318 "-" "x"\n')
    done, text = report(where, "access.log", "--json")
    if not check(done.returncode == 0, "an access log alone gives a page", done.stderr):
        return
    page, told = check_page(text, "the page of demand"), json.loads(done.stdout)
    check(hits_alone(text) == [], "staleness, unknown, stands beside hits", hits_alone(text))
    check(told["frontier"] == [] and told["learned"] == [] and not told["changes_known"],
          "without changes there is no frontier", told)
    check("It shows demand and no changes" in page.text and "forecache watch" in page.text and
          "unknown" in page.text and "Loads saved" not in page.text, "the page says so, and how to get them")
    row = json.loads(run(where, "simulate", "--requests", "access.log", "--policy", "static:3600", "--json").stdout)
    check(f"{row['policies'][0]['loads_per_request']:.4f}" in page.text, "loads of fixed TTLs are there")
    with open(os.path.join(where, "W.tsv"), "w") as f:
        f.write("time_s\tkey\n")
        f.writelines(f"{1795388400 + i * 1800}\thttps://api.example/quotes/3\n" for i in range(40))
    done, text = report(where, "access.log", "--changes", "W.tsv", "--frontier=0.01")
    page = check_page(text, "the page of a log with watched changes")
    check("Loads saved" in page.text and "6 of 7 keys" in page.text and "3 have no row" not in page.text,
          "changes that were watched count, by path", done.stderr)
    with open(os.path.join(where, "W.tsv"), "w") as f:
        f.write("time_s\tkey\n1795388400\tsomething else\n")
    done, text = report(where, "access.log", "--changes", "W.tsv", "--frontier=0.01")
    check("none is of a key that was asked for" in Page(text).text, "changes of other keys are seen to be such")


def test_small(where):
    for name, rows in (("one", ["1789948800\te\tk\t1\t1"]), ("two", ["1789948800\te\tk\t1\t1", "1789948801\te\tk\t1\t1"])):
        with open(os.path.join(where, name), "w") as f:
            f.write("time_s\tendpoint\tkey\tbytes\tload_ms\n" + "\n".join(rows) + "\n")
        with open(os.path.join(where, "c"), "w") as f:
            f.write("time_s\tkey\n1789948800.5\tk\n")
        for args in ([], ["--changes", "c", "--frontier=0.01"]):
            done, text = report(where, name, *args)
            if check(done.returncode == 0, f"a log of {name} row(s) {' '.join(args)}", done.stderr):
                check_page(text, "its page")
                check(not re.search(r"\b-?(nan|inf)\b", Page(text).text), "has no figure that is none")


def main():
    print(f"# seed {SEED}")
    with tempfile.TemporaryDirectory() as where:
        make_trace(where)
        test_frontier(where)
        test_refusals(where)
        test_charts(where)
        test_page(where)
        test_demand_alone(where)
        test_small(where)
    print(f"1..{tests}")


main()
