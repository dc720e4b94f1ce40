#!/usr/bin/env python3
"""Measures `oneloop serve http=DIR` beside nginx, on one machine, in one run.

    benches/nginx.py [--unsteered] [--bare] [--rounds N] [--seconds S] [--only PART] [--json FILE] [--program PATH]

Server on one core, load (wrk) on another; nginx with one worker, sendfile and open_file_cache, no access log; oneloop
as it is. Each case is measured in pairs, one server right after the other, the order turned round each time; what
counts is the median of the pairs' ratios. Installs nginx and wrk where they are missing (Debian).

What a side receives over loopback the kernel takes in on the core that sent it: the load's core does the server's
receiving, and the server's core the load's, which on two machines they would not. So that each has its core, the
script has each side receive where it reads (receive flow steering, RFS: the kernel's Documentation/networking/scaling).
That needs root, holds for the machine's loopback as long as this runs, and is put back at the end. A packet then costs
an interrupt of the other core: rates are lower for all. `--unsteered` leaves the kernel as it is.

Requests per second say something about a server only while its core is the one that is full. Where wrk's core is full
and oneloop's is not, the ratio is a lower bound (">="); where that holds for nginx as well, it says nothing ("load").
`--bare` has a bare epoll loop that answers small files from memory measured beside both: what a server can get out of
wrk at most. What decides then is processor time, which a busy machine disturbs less, too: the server's own for each
request, and that of server and load together. Together, because over loopback the kernel sends what the other side's
acknowledgements make room for within the other side's calls, so that a small window moves the server's work into the
load's bill.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVER_CORE, LOAD_CORE = "0", "1"
# A process that had its core for so much of a run was what bounded it.
FULL = 0.94
SIZES = {"128 B": 128, "1 KiB": 1 << 10, "16 KiB": 16 << 10, "1 MiB": 1 << 20, "100 MiB": 100 << 20}
# Requests per second that leave both servers, and the load, time to spare.
RATES = {"1 MiB": 800, "100 MiB": 6}
PIPELINE = """
init = function(args)
  local batch = {}
  for i = 1, 16 do batch[i] = wrk.format() end
  all = table.concat(batch)
end
request = function() return all end
"""
FROM_FILES = "sendfile on; open_file_cache max=1000 inactive=60s; open_file_cache_valid 1s;"
NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 20000; }}
http {{
    include /etc/nginx/mime.types;
    access_log off; keepalive_requests 1000000000;
    {settings}
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {dir}/site; }}
}}
"""


def ensure(program, package):
    if shutil.which(program) is None:
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True)
        subprocess.run([*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", package], check=True)


@contextlib.contextmanager
def steered():
    """Loopback receives on the core that reads, until the end. Whether that could be had."""
    if os.geteuid() != 0:
        print("not root: cannot have each side receive on its own core, as if --unsteered", file=sys.stderr)
        yield False
        return
    queue = pathlib.Path("/sys/class/net/lo/queues/rx-0")
    flows, mask = 1 << 15, 1 << int(SERVER_CORE) | 1 << int(LOAD_CORE)
    settings = {
        pathlib.Path("/proc/sys/net/core/rps_sock_flow_entries"): str(flows),
        queue / "rps_flow_cnt": str(flows),
        queue / "rps_cpus": f"{mask:x}",
    }
    before = {path: path.read_text() for path in settings}
    try:
        for path, value in settings.items():
            path.write_text(value)
        yield True
    finally:
        for path, value in before.items():
            path.write_text(value)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit("a server did not start")


def built(kind, name):
    """The program that cargo makes."""
    command = ["cargo", "build", "--release", "--quiet", "--message-format", "json", f"--{kind}", name]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = [json.loads(line) for line in told.splitlines() if '"executable":"' in line]
    return next(it["executable"] for it in made if it["target"]["kind"] == [kind] and it["target"]["name"] == name)


class Server:
    """A started server: `pid` is the process that serves. Without a port given, it tells where it listens."""

    def __init__(self, name, command, port=None):
        self.name = name
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if port:
            wait_for(port)
        self.port = port or int(self.process.stdout.readline().rpartition(":")[2])
        self.pid = self.process.pid
        while name == "nginx" and self.pid == self.process.pid:
            children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            self.pid = int(children[0]) if children else self.pid

    def cpu_s(self):
        return int(pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def user_bytes(self):
        """The proportional set size."""
        rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.M).group(1)) * 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def wrk(server, target, clients, seconds, extra=()):
    """One run: requests (or bytes) per second, and processor time for each request."""
    before, load_before, start = server.cpu_s(), children_s(), time.monotonic()
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", *extra]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/{target}"], check=True, capture_output=True, text=True
    ).stdout
    took_s = time.monotonic() - start
    cpu, load_cpu = server.cpu_s() - before, children_s() - load_before
    if errors := re.search(r"Socket errors: .*|Non-2xx.*", text):
        print(f"  {server.name} {target}: {errors.group(0)}", file=sys.stderr)
    total, took = re.search(r"(\d+) requests in ([\d.]+)(m?s)", text).group(1, 2)
    read, unit = re.search(r"requests in [\d.]+\w+, ([\d.]+)(\w+) read", text).group(1, 2)
    read_bytes = float(read) * {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[unit]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    seconds_run = int(total) / rate if rate else float(took)
    return {
        "requests_per_s": rate,
        "bytes_per_s": read_bytes / seconds_run,
        "cpu_us_per_request": cpu * 1e6 / max(1, int(total)),
        "both_us_per_request": (cpu + load_cpu) * 1e6 / max(1, int(total)),
        "server_busy": cpu / took_s,
        "load_busy": load_cpu / took_s,
    }


def at_rate(server, target, rate, seconds, program, folder):
    """One run of `oneloop load` at a fixed rate: processor time for each request."""
    before, load_before, told = server.cpu_s(), children_s(), folder / "load.json"
    command = ["taskset", "-c", LOAD_CORE, str(program), "-q", "load", f"http://127.0.0.1:{server.port}/{target}"]
    flags = ["--clients", "16", "--rate", str(rate), "--duration", f"{seconds}s", "--warmup", "0s", "--json", str(told)]
    subprocess.run([*command, *flags], check=True, capture_output=True)
    cpu, load_cpu = server.cpu_s() - before, children_s() - load_before
    requests = json.loads(told.read_text())["requests"]
    return {
        "requests_per_s": requests / seconds,
        "cpu_us_per_request": cpu * 1e6 / max(1, requests),
        "both_us_per_request": (cpu + load_cpu) * 1e6 / max(1, requests),
    }


def children_s():
    """Processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def load_bound(runs):
    """Whether the load's core was full, and the server's was not."""
    busy = {core: statistics.median(run[core] for run in runs) for core in ("server_busy", "load_busy")}
    return busy["load_busy"] >= FULL > busy["server_busy"]


def idle_bytes(server, few=1_000, many=10_000):
    """User memory of an idle keep-alive client: the slope between few and many of them, each after one answer."""
    held, seen = [], {}
    for goal in (few, many):
        while len(held) < goal:
            s = socket.create_connection(("127.0.0.1", server.port), 10)
            s.sendall(b"GET /f128 HTTP/1.1\r\nHost: h\r\n\r\n")
            held.append(s)
            answer = b""
            while not (b"\r\n\r\n" in answer and len(answer.split(b"\r\n\r\n", 1)[1]) == 128):
                answer += s.recv(4096)
        time.sleep(0.5)
        seen[goal] = server.user_bytes()
    for s in held:
        s.close()
    time.sleep(1)
    return (seen[many] - seen[few]) / (many - few)


def cases(script):
    """Part, name, target, clients, wrk's flags, what is compared, goal of the ratio."""
    for size, goal in (("128 B", 1.6), ("1 KiB", 1.6), ("16 KiB", 1.35)):
        for clients in (64, 1000):
            yield "small", f"{size}, {clients} clients", f"f{SIZES[size]}", clients, (), "requests_per_s", goal
    for size in ("1 MiB", "100 MiB"):
        yield "big", f"{size}, 16 clients", f"f{SIZES[size]}", 16, (), "bytes_per_s", 1.0
    close = ("-H", "Connection: close")
    yield "close", "128 B, a connection each", "f128", 64, close, "requests_per_s", 1.1
    yield "pipelined", "128 B, pipelined by 16", "f128", 64, ("-s", script), "requests_per_s", 3.0


def rounds_of(count, servers, run):
    """Runs one right after the other, the order turned round each time."""
    orders = [servers if turn % 2 == 0 else servers[::-1] for turn in range(count)]
    return [{server.name: run(server) for server in order} for order in orders]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--only", choices=["small", "big", "rate", "close", "pipelined", "idle"])
    parser.add_argument("--unsteered", action="store_true", help="leave where loopback receives as it is")
    parser.add_argument("--bare", action="store_true", help="measure a bare loop beside both, where files are small")
    parser.add_argument("--json", type=pathlib.Path, help="write all runs to this file")
    parser.add_argument("--flag", action="append", default=[], help="another flag for oneloop serve, to try it")
    parser.add_argument("--program", type=pathlib.Path, help="an oneloop that is built already")
    args = parser.parse_args()
    ensure("nginx", "nginx-light")
    ensure("wrk", "wrk")
    program = args.program or built("bin", "oneloop")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        (folder / "site").mkdir()
        for size in SIZES.values():
            (folder / "site" / f"f{size}").write_bytes(os.urandom(1 << 20)[:size] * max(1, size >> 20))
        (folder / "pipeline.lua").write_text(PIPELINE)
        with contextlib.ExitStack() as stack:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
            servers = list(started(args, program, folder, stack))
            is_steered = not args.unsteered and stack.enter_context(steered())
            measure(args, servers, program, folder, is_steered)


def started(args, program, folder, stack):
    """oneloop, nginx and perhaps the bare loop, until the stack is left."""
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, port=port, settings=FROM_FILES))
    commands = {
        "oneloop": ([str(program), "-q", "serve", f"http={folder}/site@127.0.0.1:0", *args.flag], None),
        "nginx": (["nginx", "-c", str(folder / "nginx.conf")], port),
    }
    if args.bare:
        commands["bare"] = ([built("bench", "echo"), "--bare-http", str(folder / "site")], None)
    for name, (command, port) in commands.items():
        server = Server(name, command, port)
        stack.callback(server.stop)
        yield server


def measure(args, servers, program, folder, is_steered):
    runs, kernel = [], os.uname()
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    print(f"{kernel.sysname} {kernel.release}, {congestion}, load average {os.getloadavg()[0]:.1f}")
    print(f"{args.rounds} pairs of {args.seconds} s; received on the core that {'reads' if is_steered else 'sent'}")
    print(f"{'':26} {'per second':^45}  {'processor time, us per request':^38}")
    print(
        f"{'case':26} {'oneloop':>10} {'nginx':>10}  {'ratio (least to most), goal':27} {'oneloop':>8} {'nginx':>8} {'ratio':>6}"
        f" {'with load':>10}"
    )
    for part, name, target, clients, extra, unit, goal in cases(str(folder / "pipeline.lua")):
        if args.only not in (None, part):
            continue
        pairs = rounds_of(
            args.rounds,
            servers if part == "small" else servers[:2],
            lambda s: wrk(s, target, clients, args.seconds, extra),
        )
        runs.append({"case": name, "unit": unit, "goal": goal, "pairs": pairs})
        report(name, unit, goal, pairs)
    for size, rate in RATES.items() if args.only in (None, "rate") else ():
        target, name = f"f{SIZES[size]}", f"{size}, {rate} per second"
        pairs = rounds_of(
            args.rounds, servers[:2], lambda s: at_rate(s, target, rate, args.seconds, program, folder)
        )
        runs.append({"case": name, "unit": "cpu_us_per_request", "goal": 1.0, "pairs": pairs})
        report(name, "requests_per_s", None, pairs)
    if args.only in (None, "idle"):
        memory = {s.name: idle_bytes(s) for s in servers[:2]}
        runs.append({"case": "idle client", "unit": "bytes", "memory": memory})
        told = "; ".join(f"{name} {bytes_each:.0f} bytes" for name, bytes_each in memory.items())
        print(f"an idle client: {told}; goal: at most half")
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1))


def report(name, unit, goal, pairs):
    middle = lambda server, what: statistics.median(pair[server][what] for pair in pairs)
    cost = lambda what: statistics.median(pair["nginx"][what] / pair["oneloop"][what] for pair in pairs)
    ratios = [pair["oneloop"][unit] / pair["nginx"][unit] for pair in pairs]
    if goal is None:
        shown = "     the same for both"
    else:
        bound = {server: load_bound([pair[server] for pair in pairs]) for server in ("oneloop", "nginx")}
        mark = "" if not bound["oneloop"] else "load" if bound["nginx"] else ">="
        shown = f"{mark:>4} {statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {goal}"
    print(
        f"{name:26} {middle('oneloop', unit):10.0f} {middle('nginx', unit):10.0f}  {shown:27}"
        f" {middle('oneloop', 'cpu_us_per_request'):8.2f} {middle('nginx', 'cpu_us_per_request'):8.2f}"
        f" {cost('cpu_us_per_request'):6.2f} {cost('both_us_per_request'):10.2f}",
        flush=True,
    )
    if "bare" in pairs[0]:
        bare = [pair["bare"][unit] / pair["nginx"][unit] for pair in pairs]
        ratio = f"{statistics.median(bare):.2f} ({min(bare):.2f} to {max(bare):.2f})"
        print(f"{'':4}a bare loop {middle('bare', unit):21.0f} {'':10} {ratio}", flush=True)


if __name__ == "__main__":
    main()
