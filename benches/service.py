#!/usr/bin/env python3
"""How fast the service is: events through POST /v1/batch, and decisions at a fixed rate.

    cargo build --release && benches/service.py            # 30 s each; needs wrk (Debian's) and Python 3
    benches/service.py --seconds 60 --bespoke target/release/bespoke
    TMPDIR=/dev/shm benches/service.py                     # without the disk, to tell its part from the program's

Budgets, on two cores with SQLite: 5,000 events/s sustained, each answered 200 only after its commit and in the database
when the load ends; the 99th percentile of POST /v1/decide at 200 requests/s within 20 ms. A request that begins late
because others were slow counts from when it should have begun. The load runs on the same machine.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
EVENTS_PER_BODY = 100
EVENTS_PER_SECOND_MIN = 5_000
DECISIONS_PER_SECOND = 200
DECISION_P99_MS_MAX = 20


class Server:
    """`bespoke serve` in a folder, on a free port."""

    def __init__(self, bespoke, folder):
        self.bespoke, self.folder = bespoke, folder
        self.database = folder / "bespoke.db"
        self.key = self.says("keys", "create", "bench", "--scope", "ingest,decide").strip()
        self.process = subprocess.Popen(
            [bespoke, "serve", "--listen", "127.0.0.1:0"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        # Other sentences may come before it.
        found = (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in self.process.stderr)
        self.port = int(next(match for match in found if match).group(1))

    def says(self, *words):
        return subprocess.run([self.bespoke, *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def count(self, table):
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            return database.execute(f"select count(*) from {table}").fetchone()[0]

    def peak_memory_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def ingest(bespoke, folder, seconds):
    subprocess.run([bespoke, "init", "shop"], cwd=folder, check=True, capture_output=True)
    server = Server(bespoke, folder / "shop")
    command = ["wrk", "-t2", "-c16", f"-d{seconds}s", "-s", str(HERE / "batch.lua"), f"http://127.0.0.1:{server.port}"]
    begun = server.cpu_seconds()
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "KEY": server.key}).stdout
    kept, refused, took_us, p99_us = map(int, re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", out).groups())
    cpu, memory = server.cpu_seconds() - begun, server.peak_memory_mb()
    server.stop()
    answered, rows = kept * EVENTS_PER_BODY, server.count("events")
    rate = answered / (took_us / 1e6)
    print(f"POST /v1/batch: {rate:,.0f} events/s over {took_us / 1e6:.0f} s, p99 of a body {p99_us / 1e3:.0f} ms, {memory} MB")
    print(f"    {answered:,} events answered 200, {rows:,} in the database, {refused} bodies refused")
    print(f"    {cpu / answered * 1e6:.0f} µs of processor an event: {answered / cpu:,.0f} events a processor second")
    # Bodies that were on their way when the load ended may be kept without anybody having heard the answer.
    return rate >= EVENTS_PER_SECOND_MIN and refused == 0 and answered <= rows <= answered + 16 * EVENTS_PER_BODY


async def ask(port, key, bodies, started, number, times):
    """One connection: takes the next body when it is due, and notes how long after that its answer was there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        turn = next(number, None)
        if turn is None:
            break
        due = started + turn / DECISIONS_PER_SECOND
        await asyncio.sleep(max(0, due - time.perf_counter()))
        body = bodies[turn % len(bodies)]
        head = f"POST /v1/decide HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(int(re.search(r"content-length: (\d+)", head, re.I).group(1)))
        if not head.startswith("HTTP/1.1 200"):
            sys.exit(f"a decision was answered with {head.splitlines()[0]}")
        times.append(time.perf_counter() - due)
    writer.close()


def decide(bespoke, folder, seconds):
    subprocess.run([bespoke, "demo"], cwd=folder, check=True, capture_output=True)
    server = Server(bespoke, folder / "bespoke-demo")
    with sqlite3.connect(f"file:{server.database}?mode=ro", uri=True) as database:
        people = [row[0] for row in database.execute("select id from profiles order by id")]
    bodies = [json.dumps({"campaign": "journey", "profile": name}).encode() for name in people]
    before = server.count("web_decisions")

    async def load():
        times, number = [], iter(range(seconds * DECISIONS_PER_SECOND))
        started = time.perf_counter() + 0.5
        await asyncio.gather(*(ask(server.port, server.key, bodies, started, number, times) for _ in range(64)))
        return sorted(times)

    begun = server.cpu_seconds()
    times = asyncio.run(load())
    cpu, memory = server.cpu_seconds() - begun, server.peak_memory_mb()
    server.stop()
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))] * 1e3
    print(
        f"POST /v1/decide: {len(times):,} at {DECISIONS_PER_SECOND}/s for {len(people):,} people with histories: "
        f"p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, max {at(1):.1f} ms, {memory} MB"
    )
    print(f"    {cpu / len(times) * 1e3:.1f} ms of processor a decision")
    print(f"    {server.count('web_decisions') - before:,} decisions in the database; the holdout gets none")
    return at(0.99) <= DECISION_P99_MS_MAX


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bespoke", default=HERE.parent / "target/release/bespoke", type=pathlib.Path)
    parser.add_argument("--seconds", default=30, type=int)
    options = parser.parse_args()
    bespoke = str(options.bespoke.resolve())
    good = True
    for measure in (ingest, decide):
        with tempfile.TemporaryDirectory() as folder:
            good &= measure(bespoke, pathlib.Path(folder), options.seconds)
    sys.exit(0 if good else "a budget was missed")


if __name__ == "__main__":
    main()
