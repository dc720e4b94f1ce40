#!/usr/bin/env python3
"""What a slow disk does to the other clients of the one loop.

    benches/slow_disk.py --program PATH [--seconds S]

The server reads files in its loop: a page that is not in memory makes every client wait. One client downloads a
file that was put out of the page cache, from a disk slowed down to some MB/s (throttled in a control group of its own, of
either version, so Linux and root); another asks for a small file every 2 ms, and its waits are printed.
"""

import argparse
import http.client
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")
IS_V2 = (CGROUPS / "cgroup.controllers").exists()
GROUP = (CGROUPS if IS_V2 else CGROUPS / "blkio") / "oneloop-slow-disk"
FILE_BYTES = 96 << 20


def disk_of(folder):
    """The numbers of the whole disk that a folder is on: a partition cannot be throttled."""
    device = os.stat(folder).st_dev
    block = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if (block / "partition").exists():
        block = block.parent
    return (block / "dev").read_text().strip()


def make_group():
    if IS_V2:
        (CGROUPS / "cgroup.subtree_control").write_text("+io")
    GROUP.mkdir(exist_ok=True)


def throttle(disk, mb):
    """So many MB/s; None: as fast as it is."""
    if IS_V2:
        (GROUP / "io.max").write_text(f"{disk} rbps={mb * 1_000_000 if mb else 'max'}")
    else:
        (GROUP / "blkio.throttle.read_bps_device").write_text(f"{disk} {(mb or 0) * 1_000_000}")


def download(port, stop, path):
    while not stop.is_set():
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while not stop.is_set() and s.recv(1 << 20):
                pass


def waits_ms(port, seconds):
    client, waits = http.client.HTTPConnection("127.0.0.1", port), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        client.request("GET", "/small")
        client.getresponse().read()
        waits.append((time.monotonic() - began) * 1000)
        time.sleep(0.002)
    return sorted(waits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--flag", action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        folder = pathlib.Path(folder)
        (folder / "small").write_bytes(b"s" * 1000)
        (folder / "big").write_bytes(os.urandom(1 << 20) * (FILE_BYTES >> 20))
        os.sync()
        disk = disk_of(folder)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        command = [args.program, "-q", "serve", f"http={folder}@127.0.0.1:{port}", *args.flag]
        make_group()
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            server.stdout.readline()
            (GROUP / "cgroup.procs").write_text(str(server.pid))
            for mb in (None, 200, 50, 10):
                throttle(disk, mb)
                stop = threading.Event()
                thread = threading.Thread(target=download, args=(port, stop, folder / "big"))
                if mb:
                    thread.start()
                waits = waits_ms(port, args.seconds)
                stop.set()
                if mb:
                    thread.join()
                what = f"{mb} MB/s" if mb else "no download"
                p99 = waits[len(waits) * 99 // 100]
                print(f"{what:12} {len(waits)} requests: p50 {statistics.median(waits):.2f} ms, p99 {p99:.2f} ms, most {waits[-1]:.2f} ms")
        finally:
            server.terminate()
            server.wait()
            GROUP.rmdir()


if __name__ == "__main__":
    main()
