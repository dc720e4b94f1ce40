#!/usr/bin/env python3
"""Does `oneloop load` tell good measurements from bad ones? With real processes and sockets, on a machine for itself.

    benches/sabotage.py [--sabotaged N] [--honest N] [--find N] [--seed S] [--program PATH] [--server PATH]

Sabotaged runs: each has a saboteur, chosen by the seed. The generator is stopped once (SIGSTOP) or again and again, its
core is shared with busy processes, its clock runs at half speed, replies are dropped, or clients are held back. A run
that is VALID nevertheless is a false VALID. On a shared core, and between short stops, a generator that needs little
gets it: there, VALID is false only if the numbers differ from those of the same run without the saboteur (the rate by
more than 5 %, p50 or p99 by more than a quarter and 0.5 ms).

Honest runs: a server of known rate, closed and open loop in turn, no saboteur. One that is VALID with a rate more than
2 % off is wrong. One that is not VALID is a false alarm, unless its numbers differ from those of the same run
repeated: then the machine was not quiet.

Searches (`--find`): how far is the rate that is found from the capacity of a server that stalls now and then?

The server (`examples/token_bucket.rs`) is on one core, the generator on another.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from nginx import LOAD_CORE, ROOT, SERVER_CORE, built

# A library that halves the speed of the clock.
HALF_SPEED = ROOT / "tests" / "load" / "half_speed.c"


class Bucket:
    """The server; `port` is where it listens."""

    def __init__(self, program, **options):
        flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, program, "127.0.0.1:0", *flags], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def load(program, port, *flags, environment=None):
    command = ["taskset", "-c", LOAD_CORE, program, "-q", "load", f"echo@127.0.0.1:{port}", "--json", "-", *flags]
    env = None if environment is None else {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)


def report(process, timeout_s=60):
    text, _ = process.communicate(timeout=timeout_s)
    return json.loads(text)


def stop(process, chance):
    time.sleep(chance.uniform(0.3, 1.0))
    process.send_signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0.1, 0.6))
    process.send_signal(signal.SIGCONT)


def throttle(process, chance):
    """Stops it for a part of each period, as a limit of processor time does."""
    period_s, share = chance.uniform(0.01, 0.1), chance.uniform(0.3, 0.8)
    end = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGSTOP)
        time.sleep(period_s * share)
        process.send_signal(signal.SIGCONT)
        time.sleep(period_s * (1 - share))


def sabotaged(program, server, chance, clock):
    """One run: the saboteur's name, the report, the options, and the report of the same run without the saboteur."""
    name = chance.choice(["stopped", "throttled", "core shared", "clock", "replies dropped", "clients held back"])
    options, environment, burners = {"rate": chance.randrange(1_000, 8_000)}, None, []
    flags = ["--clients", str(chance.randrange(4, 65)), "--warmup", "100ms", "--duration", "1200ms"]
    flags += ["--reply-timeout", "800ms", "--seed", str(chance.randrange(1 << 32))]
    if chance.random() < 0.5:
        flags += ["--rate", str(int(options["rate"] * chance.uniform(0.3, 0.8)))]
    if name == "clock":
        environment = {"LD_PRELOAD": str(clock)}
    elif name == "replies dropped":
        options["drop"] = chance.uniform(0.01, 0.1)
    elif name == "clients held back":
        options["hold"] = chance.randrange(1, 4)
    twin = None
    if name in ("core shared", "throttled"):
        with Bucket(server, **options) as bucket:
            twin = report(load(program, bucket.port, *flags))
    if name == "core shared":
        burn = ["taskset", "-c", LOAD_CORE, sys.executable, "-c", "while True: pass"]
        burners = [subprocess.Popen(burn) for _ in range(chance.randrange(1, 4))]
    try:
        with Bucket(server, **options) as bucket:
            process = load(program, bucket.port, *flags, environment=environment)
            if name == "stopped":
                stop(process, chance)
            elif name == "throttled":
                throttle(process, chance)
            return name, report(process), flags, twin
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def differ(it, twin):
    """Whether a run says something else of the server than its twin."""
    rates = [each["requests_per_second"] for each in (it, twin)]
    pairs = [[each["latency"][name] for each in (it, twin)] for name in ("p50_ns", "p99_ns")]
    return abs(rates[0] / rates[1] - 1) > 0.05 or any(
        abs(ours - theirs) > 500_000 and not 0.8 < ours / theirs < 1.25 for ours, theirs in pairs
    )


def honest(program, server, seed, nth):
    """One run: the rate that is right, and the report."""
    chance = random.Random(f"{seed} honest {nth}")
    rate = chance.randrange(1_000, 8_000)
    flags = ["--clients", "16", "--warmup", "200ms", "--duration", "1200ms", "--seed", str(chance.randrange(1 << 32))]
    expected = rate
    if nth % 2:
        expected = int(rate * chance.uniform(0.3, 0.7))
        flags += ["--rate", str(expected)]
    # Its burst is spent before the measured part begins.
    with Bucket(server, rate=rate, burst_ms=1) as bucket:
        return expected, report(load(program, bucket.port, *flags))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sabotaged", type=int, default=200)
    parser.add_argument("--honest", type=int, default=100)
    parser.add_argument("--find", type=int, default=20)
    parser.add_argument("--probe", default="3s", help="how long a probe of a search takes (default: 3s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", help="oneloop; default: built here")
    parser.add_argument("--server", help="the example token_bucket; default: built here")
    args = parser.parse_args()
    program = args.program or built("bin", "oneloop")
    server = args.server or built("example", "token_bucket")
    print(f"seed {args.seed}")
    with tempfile.TemporaryDirectory() as folder:
        clock = pathlib.Path(folder) / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(clock), str(HALF_SPEED), "-ldl"], check=True)
        told, missed = collections.defaultdict(collections.Counter), 0
        for nth in range(args.sabotaged):
            name, it, flags, twin = sabotaged(program, server, random.Random(f"{args.seed} {nth}"), clock)
            verdict = it["verdict"]["verdict"]
            harmless = verdict == "VALID" and twin is not None and not differ(it, twin)
            told[name]["VALID, and right" if harmless else verdict] += 1
            if verdict == "VALID" and not harmless:
                missed += 1
                print(f"false VALID: run {nth}, {name}, {' '.join(flags)}")
        for name, counts in sorted(told.items()):
            print(f"{name}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
        print(f"sabotaged: {missed} of {args.sabotaged} falsely VALID")
    found = collections.Counter()
    for nth in range(args.honest):
        expected, it = honest(program, server, args.seed, nth)
        verdict, off = it["verdict"]["verdict"], it["requests_per_second"] / expected - 1
        if verdict == "VALID" and abs(off) <= 0.02:
            continue
        twins = [honest(program, server, args.seed, nth)[1] for _ in range(3)]
        twin = sorted(twins, key=lambda each: each["latency"]["p99_ns"])[1]
        disturbed = verdict != "VALID" and (abs(off) > 0.02 or differ(it, twin))
        what = "disturbed" if disturbed else "false or wrong"
        found[what] += 1
        print(f"{what}: run {nth}, {verdict}, rate {off:+.1%}: {it['verdict']['reasons']}")
    print(f"honest: {found['false or wrong']} of {args.honest} false or wrong, {found['disturbed']} disturbed")
    errors = []
    for nth in range(args.find):
        chance = random.Random(f"{args.seed} find {nth}")
        rate, began = chance.randrange(800, 4_000), time.monotonic()
        with Bucket(server, rate=rate, stall_ms=40, burst_ms=5) as bucket:
            flags = ["--find", "p99<5ms", "--duration", args.probe, "--seed", str(chance.randrange(1 << 32))]
            it = report(load(program, bucket.port, *flags), 300)
        found_per_s, took_s = it["rate_found_per_s"] or 0, time.monotonic() - began
        error = found_per_s / rate - 1
        errors.append(abs(error))
        print(f"find {nth}: {found_per_s:.0f}/s of {rate}/s, {error:+.1%}, {took_s:.0f} s")
    if errors:
        print(f"find: {sum(error <= 0.05 for error in errors)} of {args.find} within 5 %")


if __name__ == "__main__":
    main()
