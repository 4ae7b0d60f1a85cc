#!/usr/bin/python3
"""An HTTP server under load through changes, supervised by `moddev supervise`: by cycling its workers (a server that
embeds nothing) or by reloading in their places (one that embeds moddev::client). No request may fail.

--changes and --workers make it larger; with --wrk the load is wrk's.
"""
import argparse
import collections
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "world"))
from fleet import Failed, Fleet, Process, check, wait_for  # noqa: E402


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path="/"):
    """One request over its own connection; the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        reply = b""
        while piece := connection.recv(4096):
            reply += piece
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"answered {reply[:100]!r}")
    return body.decode().strip()


class Load:
    """Clients that ask one request after the other, one of them the slow kind; every failure is kept."""

    def __init__(self, port, clients=3):
        self.port = port
        self.failures = []
        self.answers = collections.Counter()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=("/slow" if i == 0 else "/",), daemon=True)
                         for i in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, path):
        while not self._end.is_set():
            try:
                self.answers[ask(self.port, path).split()[0]] += 1
            except OSError as problem:
                self.failures.append(f"{path}: {problem}")
            self._end.wait(0.003)  # leaves the processors to those under test

    def end(self):
        self._end.set()
        for thread in self._threads:
            thread.join(30)
        check(not self.failures, f"{len(self.failures)} requests failed, the first: {self.failures[:3]}")
        return sum(self.answers.values())


class Wrk:
    def __init__(self, port):
        self._process = subprocess.Popen(["wrk", "-t2", "-c16", "-d600s", "-H", "Connection: close",
                                          f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)

    def end(self):
        self._process.send_signal(signal.SIGINT)
        text = self._process.communicate(timeout=30)[0]
        print(text)
        check("Socket errors" not in text and "Non-2xx" not in text, "wrk saw failures:\n" + text)
        return int(text.split(" requests in")[0].split()[-1])


class Supervised:
    def __init__(self, arguments, fleet):
        self.port = free_port()
        self.fleet = fleet
        self.watch = fleet.watch("--ignore", "*.tmp")
        self.watch.wait_event("listening")
        self.arguments = arguments
        self.process = None

    def begin(self, server, *flags):
        workers = self.arguments.workers
        self.process = Process(self.fleet, [self.fleet.moddev, "supervise", "--json", "--workers", str(workers),
                                            "--listen", f"127.0.0.1:{self.port}", *flags, "--",
                                            self.arguments.server, *server], "supervise")
        self.process.wait_event("serving", lambda event: event["workers"] == workers)

    def load(self):
        return Wrk(self.port) if self.arguments.wrk else Load(self.port)

    def end(self):
        """Drains all and ends with 0."""
        pids = {event["pid"] for event in self.process.of("ready")} - {e["pid"] for e in self.process.of("stopped")}
        self.process.signal(signal.SIGTERM)
        check(self.process.process.wait(30) == 0, f"supervise ended with {self.process.process.returncode}")
        for pid in pids:
            check(not os.path.exists(f"/proc/{pid}"), f"worker {pid} was left behind")


def never_below(events, workers):
    """Counts who serves, from the events alone."""
    serving = set()
    full = False
    for event in events:
        if event["event"] == "ready":
            serving.add(event["pid"])
        if event["event"] in ("draining", "stopped"):
            serving.discard(event["pid"])
        full = full or len(serving) == workers
        check(not full or len(serving) >= workers, f"only {len(serving)} workers serve after {event}")


def replace(fleet, text):
    """As a careful editor writes."""
    temporary = fleet.directory / "page.tmp"
    temporary.write_text(text)
    temporary.rename(fleet.directory / "page")


def cycling(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        replace(fleet, "v0")
        world = Supervised(arguments, fleet)
        world.watch.wait_event("committed")
        world.begin(["--file", str(fleet.directory / "page")], "--ready-timeout", "30")
        load = world.load()
        begun = time.monotonic()
        for change in range(1, arguments.changes + 1):
            replace(fleet, f"v{change}")
            done = world.process.wait_event("rollout_done", lambda e, n=change: e["epoch"] == n + 1)
            check(done["cycled"] == list(range(arguments.workers)) and done["modules"] == ["page"], f"cycled: {done}")
            check(ask(world.port).startswith(f"v{change} "), "after the rollout everyone answers with the new page")
        spent = time.monotonic() - begun
        # A new worker that ends before it is ready: the old ones go on.
        replace(fleet, "bad")
        stopped = world.process.wait_event("rollout_stopped")
        check(stopped["old_code"] == list(range(arguments.workers)), f"the old ones go on: {stopped}")
        check("exit code 3" in stopped["message"], f"the reason is told: {stopped}")
        check(ask(world.port).startswith(f"v{arguments.changes} "), "the last good page is still served")
        # Its repair is a new change.
        replace(fleet, "repaired")
        world.process.wait_event("rollout_done", lambda e: e["epoch"] == arguments.changes + 3)
        check(ask(world.port).startswith("repaired "), "the repair is live")
        count = load.end()
        never_below(world.process.events(), arguments.workers)
        # A worker that dies comes back.
        pid = world.process.last("ready")["pid"]
        os.kill(pid, signal.SIGKILL)
        world.process.wait_event("stopped", lambda e: e["pid"] == pid and not e["expected"])
        wait_for(lambda: len(world.process.of("serving")) == 2, "all serve again")
        world.end()
        return count, spent


def reloading(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1000)
        world = Supervised(arguments, fleet)
        world.watch.wait_event("committed")
        world.begin(["--module", "m:answer"])
        wait_for(lambda: len(fleet.status()["executors"]) == arguments.workers, "all workers are members")
        started = len(world.process.of("started"))
        load = world.load()
        begun = time.monotonic()
        for change in range(1, arguments.changes + 1):
            fleet.rename_into_place(1000 + change)
            done = world.process.wait_event("rollout_done", lambda e, n=change: e["epoch"] == n + 1)
            check(done["cycled"] == [] and done["reloaded"] == arguments.workers, f"all reload in place: {done}")
            wait_for(lambda n=change: ask(world.port).startswith(f"{1000 + n} "), "the new code answers")
        spent = time.monotonic() - begun
        count = load.end()
        check(len(world.process.of("started")) == started, "no process was started anew")
        world.end()
        return count, spent


def rules(arguments):
    """By choice per module: one that is cycled although the workers embed the client."""
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        (fleet.root / "moddev.toml").write_text('[supervise]\ncycle = ["core*"]\n')
        world = Supervised(arguments, fleet)
        world.watch.wait_event("committed")
        world.begin(["--module", "m:answer"])
        wait_for(lambda: len(fleet.status()["executors"]) == arguments.workers, "all workers are members")
        load = world.load()
        (fleet.directory / "core.cfg").write_text("1")
        done = world.process.wait_event("rollout_done")
        check(done["cycled"] == list(range(arguments.workers)), f"cycled by the rule: {done}")
        wait_for(lambda: {e["pid"] for e in fleet.status()["executors"] if e["state"] == "live"} ==
                 {e["pid"] for e in world.process.of("ready")[-arguments.workers:]}, "the new workers are the members")
        fleet.rename_into_place(2)
        done = world.process.wait_event("rollout_done", lambda e: "m" in e["modules"])
        check(done["cycled"] == [] and done["reloaded"] == arguments.workers, f"reloaded: {done}")
        count = load.end()
        world.end()
        return count, 0.0


def example(arguments):
    """What `--help` shows does what it says, at another port."""
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        watch = fleet.watch()
        watch.wait_event("committed")
        shown = fleet.run("supervise", "--help").stdout
        words = shlex.split(shown[shown.index("  moddev supervise"):])
        port = free_port()
        words = [arguments.moddev, "supervise", "--json"] + [str(port) if word == "8000" else word for word in words[2:]]
        check(str(port) in words, f"the example listens at 8000: {shown}")
        process = Process(fleet, words, "supervise")
        process.wait_event("serving", lambda event: event["workers"] == 2)
        (fleet.root / "page.txt").write_text("hello")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page.txt", timeout=20) as answer:
            check(answer.read() == b"hello", "it serves")
        fleet.rename_into_place(2)
        done = process.wait_event("rollout_done")
        check(done["cycled"] == [0, 1], f"its workers are replaced: {done}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page.txt", timeout=20) as answer:
            check(answer.read() == b"hello", "it serves on")
        process.signal(signal.SIGTERM)
        check(process.process.wait(30) == 0, f"supervise ended with {process.process.returncode}")
        return 2, 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("cycling", "reloading", "rules", "example"))
    parser.add_argument("--moddev", required=True)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--server", required=True)
    parser.add_argument("--changes", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--wrk", action="store_true")
    arguments = parser.parse_args()
    try:
        count, spent = {"cycling": cycling, "reloading": reloading, "rules": rules,
                        "example": example}[arguments.way](arguments)
    except Failed as problem:
        print(f"FAILED: {problem}")
        return 1
    changes = f"{arguments.changes} changes in {spent:.2f} s" if spent else "one change of each kind"
    print(f"{arguments.way}: {changes} over {arguments.workers} workers, {count} requests, none failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
