#!/usr/bin/env python3
"""Measures nginx with `oneloop load` and with other generators, in turn, in one run: do they agree?

    benches/generators.py [--only PART] [--unsteered] [--rounds N] [--seconds S] [--json FILE] [--program PATH]

nginx (one worker) on one core, the generator on another, the order turned round each time; what counts is the median of
the rounds' ratios. Closed loop: 64 clients, with wrk, and with oha where it is installed. Open loop, at half of the rate
that the closed loop has found: with wrk2 and oha, where they are installed; both count latency from the scheduled
time, as oneloop does. Installs nginx and wrk where they are missing (Debian).

On small files, and on pages that take nginx about a millisecond (closed) or ten (open) because it compresses them for each
request. On small files an open loop shows how exactly a generator keeps its times: timers of 1 ms are more than
nginx takes. wrk2 has each client begin at the same time, at its share of the rate: many requests at once.

Over loopback the kernel receives on the core that sends: nginx would pay for what its generator receives, more or less of
it by how often that one sleeps. So each side receives where it reads (see nginx.py), unless --unsteered. A generator
whose core is full has measured itself ("own").
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from nginx import FULL, LOAD_CORE, NGINX, Server, built, children_s, ensure, free_port, steered

CLIENTS = 64
COMPRESSED = "gzip on; gzip_types text/css; gzip_comp_level 9;"
UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}


def of_wrk(text):
    """Requests, requests per second, and median latency in s; as the two others."""
    requests = re.search(r"(\d+) requests in", text).group(1)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    p50, p50_unit = re.search(r"50(?:\.000)?%\s+([\d.]+)(us|ms|s|m)", text).groups()
    return int(requests), rate, float(p50) * UNITS_S[p50_unit]


def of_oha(text):
    it = json.loads(text)
    requests = sum(it["statusCodeDistribution"].values())
    return requests, it["summary"]["requestsPerSec"], it["latencyPercentiles"]["p50"]


def of_oneloop(text):
    it = json.loads(text)
    return it["requests"], it["requests_per_second"], it["latency"]["p50_ns"] / 1e9


class Generator:
    def __init__(self, name, command, parse):
        self.name, self.command, self.parse = name, command, parse

    def run(self, server, page, rate=None):
        command = self.command(f"http://127.0.0.1:{server.port}/{page}", rate)
        before, server_before, began = children_s(), server.cpu_s(), time.monotonic()
        done = subprocess.run(["taskset", "-c", LOAD_CORE, *command], stdout=subprocess.PIPE, text=True, timeout=600)
        took, cpu_s = time.monotonic() - began, children_s() - before
        requests, found, p50_s = self.parse(done.stdout)
        return {
            "rate_per_s": found,
            "p50_s": p50_s,
            "cpu_s_per_request": cpu_s / requests,
            "generator_busy": cpu_s / took,
            "server_busy": (server.cpu_s() - server_before) / took,
        }


def interval(values):
    """The median, and the least and greatest value."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def measure(title, generators, server, page, rounds, rate=None):
    runs = {generator.name: [] for generator in generators}
    for nth in range(rounds):
        for generator in generators if nth % 2 == 0 else generators[::-1]:
            runs[generator.name].append(generator.run(server, page, rate))
        print(f"{title}: round {nth + 1} of {rounds}", file=sys.stderr)
    print(f"\n{title}")
    print(f"{'':10}{'requests/s':>12}{'p50 us':>10}{'CPU us/req':>12}{'busy':>7}{'nginx':>7}")
    for name, each in runs.items():
        median = {key: statistics.median(run[key] for run in each) for key in each[0]}
        full = "  own" if median["generator_busy"] >= FULL else ""
        print(
            f"{name:10}{median['rate_per_s']:12.0f}{median['p50_s'] * 1e6:10.0f}"
            f"{median['cpu_s_per_request'] * 1e6:12.2f}{median['generator_busy']:7.2f}{median['server_busy']:7.2f}{full}"
        )
    for name in list(runs)[1:]:
        pairs = list(zip(runs["oneloop"], runs[name]))
        told = [
            f"{what} {interval([ours[key] / theirs[key] for ours, theirs in pairs])}"
            for what, key in (("rate", "rate_per_s"), ("p50", "p50_s"), ("CPU/request", "cpu_s_per_request"))
        ]
        print(f"oneloop over {name}: {', '.join(told)}")
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--unsteered", action="store_true", help="leave to the kernel on which core loopback receives")
    parser.add_argument("--only", default="", help="measure only what has this in its name, such as `closed medium`")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--program", help="oneloop; default: built here")
    args = parser.parse_args()
    ensure("nginx", "nginx-light")
    ensure("wrk", "wrk")
    program = args.program or built("bin", "oneloop")
    seconds, header = str(args.seconds), ["-H", "Accept-Encoding: gzip"]

    def oneloop(url, rate):
        pace = ["--rate", str(rate)] if rate else []
        return [program, "-q", "load", url, "--clients", str(CLIENTS), "--duration", f"{seconds}s", "--warmup", "0",
                "--json", "-", *header, *pace]

    def wrk(url, rate):
        name, pace = ("wrk2", [f"-R{rate}"]) if rate else ("wrk", [])
        return [name, "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--latency", *pace, *header, url]

    def oha(url, rate):
        pace = ["-q", str(rate), "--latency-correction"] if rate else []
        return ["oha", "-z", f"{seconds}s", "-c", str(CLIENTS), "--worker-threads", "1", "--no-tui", "-w",
                "--output-format", "json", *pace, url]

    ours, other = Generator("oneloop", oneloop, of_oneloop), Generator("oha", oha, of_oha)
    closed = [ours, Generator("wrk", wrk, of_wrk), other]
    opened = [ours, Generator("wrk2", wrk, of_wrk), other]
    closed, opened = ([it for it in each if it is ours or shutil.which(it.name)] for each in (closed, opened))
    found = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if not args.unsteered:
            stack.enter_context(steered())
        site, port = pathlib.Path(folder) / "site", free_port()
        site.mkdir()
        (site / "small.txt").write_text("x" * 1024)
        numbers = random.Random(1)
        for name, size in (("medium.css", 14_000), ("large.css", 150_000)):
            (site / name).write_text(numbers.randbytes(size).hex())
        configuration = pathlib.Path(folder) / "nginx.conf"
        configuration.write_text(NGINX.format(dir=folder, port=port, settings=COMPRESSED))
        os.chmod(folder, 0o755)
        server = Server("nginx", ["nginx", "-c", str(configuration)], port)
        stack.callback(server.stop)
        for page in (page for page in ("small.txt", "medium.css") if args.only in f"closed {page}"):
            title = f"{page}: closed loop, {CLIENTS} clients"
            found[f"closed {page}"] = measure(title, closed, server, page, args.rounds)
        for page in (page for page in ("small.txt", "large.css") if args.only in f"open {page}"):
            half = int(ours.run(server, page)["rate_per_s"] / 2)
            title = f"{page}: open loop, {half}/s, {CLIENTS} clients"
            found[f"open {page}"] = measure(title, opened, server, page, args.rounds, half)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
