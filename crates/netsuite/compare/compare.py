#!/usr/bin/env python3
"""Our client beside the Rust crate `netsuite` and the Python package `netsuite`, in one run.

    python3 crates/netsuite/compare/compare.py [--rows 50000] [--upserts 2000] [--limit 10] [--latency-ms 50] [--rounds 3]

It builds our client's example `measure`, the sandbox and the Rust peer with cargo's profile `local`
(opt-level 1), puts the Python peer into a virtual environment, and starts the sandbox anew for each
measurement, so that no client finds another's work. It needs Linux, Python 3.10 with venv, cargo, and
the registries for the peers. Figures are the machine's of the day: read the ratios. Each is the median
of the rounds, in which the clients take turns; the Python peer, which is slow, has one round.

Each client may have as many calls under way as the account has permits. Peak memory is the process's
own (VmHWM). Utilisation is the time that calls held permits, over the permits' time from the first
call to the last, both as the sandbox saw them. In brackets: the figure over that of the first line.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import urllib.request
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = TARGET / "compare"
# The sandbox's tests run the same client.
REQUIREMENTS = ROOT / "crates/netsuite-sandbox/tests/foreign/requirements.txt"

OURS = "slowlane-netsuite"
RUST = "Rust `netsuite` 0.7.0"
PYTHON = "Python `netsuite` 0.12.0"


def build():
    cargo = ["cargo", "build", "--profile", "local", "--quiet", "--locked"]
    ours = ["-p", "slowlane-netsuite", "-p", "slowlane-netsuite-sandbox"]
    ours += ["--example", "measure", "--bin", "slowlane-netsuite-sandbox"]
    subprocess.run([*cargo, *ours], cwd=ROOT, check=True)
    peer = ["--manifest-path", HERE / "rust_netsuite/Cargo.toml", "--target-dir", PEERS / "rust"]
    subprocess.run([*cargo, *peer], check=True)
    return {
        OURS: ([TARGET / "local/examples/measure"], "oauth2.json"),
        RUST: ([PEERS / "rust/local/compare-rust-netsuite"], "tba.json"),
        PYTHON: ([environment() / "bin/python", HERE / "python_netsuite.py"], "tba.json"),
    }


def environment():
    """A virtual environment with the Python peer; named after what it holds."""
    pinned = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    directory = PEERS / f"python-{pinned}"
    if not (directory / "installed").exists():
        shutil.rmtree(directory, ignore_errors=True)
        venv.create(directory, with_pip=True)
        pip = [directory / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        (directory / "installed").touch()
    return directory


class Sandbox:
    """A sandbox of one's own, on a free port."""

    def __init__(self, keys, args, fault):
        options = ["--limit", str(args.limit), "--latency-ms", str(args.latency_ms)]
        options += ["--write-credentials", keys / "oauth2.json", "--write-tba-credentials", keys / "tba.json"]
        options += ["--fault", fault] if fault else []
        program = TARGET / "local/slowlane-netsuite-sandbox"
        self.process = subprocess.Popen([program, *options], stdout=subprocess.PIPE)
        self.url = json.loads(self.process.stdout.readline())["listening"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def seed(self, orders):
        data = json.dumps({"type": "salesOrder", "count": orders}).encode()
        headers = {"content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(self.url + "/_sandbox/seed", data, headers)).close()

    def report(self):
        with urllib.request.urlopen(self.url + "/_sandbox/report") as answer:
            return json.load(answer)


def run(command, url, credentials, what, count, limit):
    """What the client said of its work, and the CPU time that it took."""
    words = [*map(str, command), url, str(credentials), what, str(count), str(limit)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return {**json.loads(output), "cpu": usage.ru_utime + usage.ru_stime}


def measurement(clients, keys, args, fault):
    """How one client does one thing in one way, on a sandbox of its own."""

    def measure(name, what, _how):
        command, credentials = clients[name]
        with Sandbox(keys, args, fault) as sandbox:
            if what != "upserts":
                sandbox.seed(args.rows)
            figures = run(command, sandbox.url, keys / credentials, what, args.upserts, args.limit)
            report = sandbox.report()
        if what == "upserts":
            figures |= {"used": utilisation(report), "http_429": report["http_429"]}
        return figures

    return measure


def utilisation(report):
    calls = [call for call in report["calls"] if call["method"] == "PUT"]
    span = max(call["end_ms"] for call in calls) - min(call["start_ms"] for call in calls)
    return sum(call["end_ms"] - call["start_ms"] for call in calls) / (span * report["limit"])


def table(title, columns, ways, rounds, measure):
    """Measures each way so many times, the ways taking turns, and prints the medians."""
    measured = {way: [] for way in ways}
    for n in range(rounds):
        for way, figures in measured.items():
            if n == 0 or way[0] != PYTHON:
                figures.append(measure(*way))
    print(f"\n{title}\n\n| client | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    medians = {
        way: {key: statistics.median_low([one[key] for one in figures]) for key in figures[0]}
        for way, figures in measured.items()
    }
    first = next(iter(medians.values()))
    for (name, _, how), figures in medians.items():
        cells = [cell(figures[key], first[key], form) for key, form in columns.values()]
        print(f"| {name}{how} | {' | '.join(cells)} |", flush=True)


def cell(figure, of_first, form):
    return f"{figure:{form}} ({figure / of_first:.2f})" if form else str(figure)


def row_ways(limit):
    return [
        (OURS, "rows", f", {limit} pages at once"),
        (RUST, "rows", f", {limit} threads"),
        (PYTHON, "rows", f", {limit} pages gathered"),
        (OURS, "rows-one-by-one", ", one page at a time"),
        (PYTHON, "rows-one-by-one", ", one page at a time"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--upserts", type=int, default=2_000)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    clients = build()
    cost = {"done": ("done", None), "seconds": ("seconds", ".2f"), "CPU seconds": ("cpu", ".2f"), "peak MB": ("peak_mb", ".1f")}
    governed = {**cost, "utilisation": ("used", ".3f"), "429": ("http_429", None)}
    where = f"limit {args.limit}, calls of {args.latency_ms} ms"
    ways = [(name, "upserts", "") for name in clients]
    burst = "429-burst:every=20"
    with tempfile.TemporaryDirectory() as keys:
        keys = pathlib.Path(keys)
        calm, busy = (measurement(clients, keys, args, fault) for fault in (None, burst))
        table(f"{args.rows} SuiteQL rows ({where})", cost, row_ways(args.limit), args.rounds, calm)
        table(f"{args.upserts} upserts ({where})", governed, ways, args.rounds, calm)
        table(f"The same with the fault {burst}", governed, ways, args.rounds, busy)


if __name__ == "__main__":
    main()
