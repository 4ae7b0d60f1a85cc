#!/usr/bin/python3
"""kill -9 of `moddev watch`, and now and then of an executor, at random moments while modules change: no version is
lost, used twice or invented, executors never go back, never complain and never load again what did not change, a
restart publishes exactly what was changed meanwhile, and in the end everybody runs what is in the directory.
`--kills 1000` is the long run."""
import hashlib
import json
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from fleet import Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402

# Whoever loads it leaves a line, whatever the executor tells.
UNCHANGED = """
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
__attribute__((constructor)) static void tell(void) {
  struct timespec now;
  int file = open("%s", O_WRONLY | O_CREAT | O_APPEND, 0600);
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (file < 0 || dprintf(file, "%%ld %%lld\\n", (long)getpid(), now.tv_sec * 1000000000LL + now.tv_nsec) < 0) _exit(9);
  close(file);
}
__attribute__((visibility("default"))) long long zero(void) { return 0; }
"""


def add_arguments(parser):
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Book:
    """What all runs of the daemon have told: each number must stand for one thing, and for one that was written."""

    def __init__(self):
        self.epochs = {}
        self.versions = {}
        self.written = set()

    def take(self, watch):
        for event in watch.of("published"):
            modules = tuple((m["name"], m["version"], m["digest"], m["change"]) for m in event["modules"])
            check(self.epochs.setdefault(event["epoch"], modules) == modules,
                  f"epoch {event['epoch']} stands for two changesets")
            for name, version, digest, change in modules:
                check(digest in self.written, f"version {version} of {name} was never written like that")
                if change == "removed":
                    continue
                check(self.versions.setdefault((name, version), digest) == digest,
                      f"version {version} of {name} stands for two contents")

    def compare(self, history):
        """With what the journal holds in the end, from older to newer."""
        last = {}
        epochs = {entry["epoch"]: entry for entry in history}
        for epoch, modules in self.epochs.items():
            if epoch < min(epochs):
                continue  # no longer retained
            check(epoch in epochs, f"epoch {epoch} was told and is not in the history")
            kept = tuple((m["name"], m["version"], m["digest"], m["change"]) for m in epochs[epoch]["changes"])
            check(kept == modules, f"epoch {epoch} was told as {modules} and is kept as {kept}")
        for entry in history:
            for m in entry["changes"]:
                check(m["digest"] in self.written, f"version {m['version']} of {m['name']} was invented")
                before = last.get(m["name"])
                check(before is None or m["version"] in (before, before + 1),
                      f"version {m['version']} of {m['name']} follows on {before}")
                last[m["name"]] = m["version"]
        return last


class Kills:
    def __init__(self, fleet, arguments):
        self.fleet = fleet
        self.chance = random.Random(arguments.seed)
        self.book = Book()
        self.answer = 0
        self.loads = fleet.root / "loads"
        source = fleet.root / "u.c"
        source.write_text(UNCHANGED % self.loads)
        fleet.build(source, fleet.directory / "libu.so")
        self.book.written.add(sha256((fleet.directory / "libu.so").read_bytes()))
        self.write()
        self.executors = [self.start(i) for i in range(3)]
        self.all = list(self.executors)
        self.restarts = {"unchanged": 0, "changed": 0}

    def start(self, number):
        return self.fleet.executor(f"worker-{number}", every=20)

    def write(self):
        self.answer += 1
        self.book.written.add(sha256(self.fleet.patched(self.answer)))
        in_place = self.chance.random() < 0.3
        (self.fleet.write_in_place if in_place else self.fleet.rename_into_place)(self.answer)

    def settle(self):
        done = self.fleet.run("refresh")
        check(done.returncode == 0, f"refresh: {done.stderr}")

    def end(self, watch):
        watch.kill()
        check(watch.diagnostics() == "", f"watch complained: {watch.diagnostics()}")
        self.book.take(watch)
        for executor in self.executors:
            executor.check_alive()

    def kill_while_changing(self):
        watch = self.fleet.watch()
        # From before it listens to well after the executors are back and it has published.
        longest = 0.25 if self.chance.random() < 0.6 else 1.0
        end = time.monotonic() + self.chance.uniform(0.0, longest)
        while time.monotonic() < end:
            if self.chance.random() < 0.5:
                self.write()
            time.sleep(self.chance.uniform(0.0, 0.03))
        self.end(watch)

    def kill_in_peace(self):
        """Everything is published; then the daemon is killed, and perhaps something changes before the next one."""
        watch = self.fleet.watch()
        watch.wait_event("listening")
        self.settle()
        self.end(watch)
        changes = self.chance.randrange(3)
        for _ in range(changes):
            self.write()
        watch = self.fleet.watch()
        watch.wait_event("listening")
        self.settle()
        told = watch.of("published")
        check(len(told) == (1 if changes else 0), f"after {changes} changes while it was down: {told}")
        self.restarts["changed" if changes else "unchanged"] += 1
        self.end(watch)

    def kill_executor(self):
        at = self.chance.randrange(len(self.executors))
        self.executors[at].kill()
        self.executors[at] = self.start(len(self.all))
        self.all.append(self.executors[at])

    def check_loads(self):
        """What never changes is not loaded again once it runs, by the executor's own account and by the module's."""
        loads = [tuple(map(int, line.split())) for line in self.loads.read_text().splitlines()]
        for executor in self.all:
            told = sum("u" in event["modules"] for event in executor.of("applied"))
            check(told <= 1, f"{executor.name} told {told} times that it loaded the unchanged module")
            times = [at for pid, at in loads if pid == executor.process.pid]
            calls = [event["at_ns"] for event in executor.of("called")]
            # Before the first epoch runs, one that was prepared may have died with its daemon.
            late = [at for at in times if calls and at > calls[0]]
            check(not late, f"{executor.name} loaded the unchanged module again: {times}, it ran from {calls[:1]}")
            if executor in self.executors:
                check(told == 1 and times, f"{executor.name} did not load the unchanged module")


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        kills = Kills(fleet, arguments)
        for _ in range(arguments.kills):
            (kills.kill_in_peace if kills.chance.random() < 0.1 else kills.kill_while_changing)()
            if kills.chance.random() < 0.1:
                kills.kill_executor()
        kills.write()
        watch = fleet.watch()
        for executor in kills.executors:
            executor.wait_event("called", lambda event: event["result"] == kills.answer)
        wait_for(lambda: watch.last("committed"), "the last switch is settled")
        kills.book.take(watch)
        status = fleet.status()
        check(status["epoch"] == max(kills.book.epochs, default=0),
              f"the journal ends at {status['epoch']}, told was {max(kills.book.epochs)}")
        for executor in kills.executors:
            check(epochs_of(executor)[-1] == status["committed_epoch"], f"{executor.name} lags")
        for executor in kills.all:
            never_back(results_of(executor), f"the result of {executor.name}")
            never_back(epochs_of(executor), f"the epoch of {executor.name}")
            check(len(epochs_of(executor)) == len(set(epochs_of(executor))),
                  f"{executor.name} loaded an epoch twice")
            check(executor.diagnostics() == "", executor.diagnostics())
        kills.check_loads()

        listed = fleet.run("history", "--json", "--limit", "2000").stdout
        history = [json.loads(line) for line in listed.splitlines()][::-1]
        versions = kills.book.compare(history)
        check(versions.get("u", 1) == 1, f"the unchanged module was at version {versions.get('u')}")
        shown = {m["name"]: m["version"] for m in status["modules"]}
        check(shown["u"] == 1, f"the unchanged module is at version {shown['u']}")
        kept = sorted({m["version"] for entry in history for m in entry["changes"] if m["name"] == "m"})
        for version in kills.chance.sample(kept, min(5, len(kept))):
            # Past Fleet.run, which reads text.
            bytes_of = subprocess.run([fleet.moddev, "fetch", "m", "--version", str(version), "-o", "-"],
                                      env=fleet.environment, cwd=fleet.root, capture_output=True, check=False)
            check(bytes_of.returncode == 0, f"version {version} cannot be had: {bytes_of.stderr}")
            told = kills.book.versions.get(("m", version))
            check(told in (None, sha256(bytes_of.stdout)), f"version {version} has other bytes than were told")
        print(f"{arguments.kills} kills of watch, {len(kills.all) - len(kills.executors)} of executors, "
              f"{kills.answer} files written, {len(kills.book.epochs)} epochs told up to {status['epoch']}, "
              f"{len(epochs_of(kills.executors[0]))} applied by one executor, "
              f"restarts: {kills.restarts['unchanged']} unchanged without an epoch, "
              f"{kills.restarts['changed']} changed with exactly one")


main(test, add_arguments)
