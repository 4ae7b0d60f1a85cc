#!/usr/bin/python3
"""kill -9 of `moddev watch` at random moments while modules change: no version is lost, used twice or invented,
executors never go back and never complain, and in the end everybody runs what is in the directory.
`--kills 1000` is the long run."""
import random
import sys
import time

sys.dont_write_bytecode = True
from fleet import Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402


def add_arguments(parser):
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)


class Book:
    """What all runs of the daemon have told: each number must stand for one thing."""

    def __init__(self):
        self.epochs = {}
        self.versions = {}

    def take(self, watch):
        for event in watch.of("published"):
            modules = tuple((m["name"], m["version"], m["digest"], m["change"]) for m in event["modules"])
            check(self.epochs.setdefault(event["epoch"], modules) == modules,
                  f"epoch {event['epoch']} stands for two changesets")
            for name, version, digest, change in modules:
                if change == "removed":
                    continue
                check(self.versions.setdefault((name, version), digest) == digest,
                      f"version {version} of {name} stands for two contents")


def test(arguments):
    chance = random.Random(arguments.seed)
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        book = Book()
        answer = 1
        fleet.rename_into_place(answer)
        executors = [fleet.executor(f"worker-{i}", every=20) for i in range(3)]
        for _ in range(arguments.kills):
            watch = fleet.watch()
            # From before it listens to well after it has published.
            end = time.monotonic() + chance.uniform(0.0, 0.25)
            while time.monotonic() < end:
                if chance.random() < 0.5:
                    answer += 1
                    (fleet.rename_into_place if chance.random() < 0.7 else fleet.write_in_place)(answer)
                time.sleep(chance.uniform(0.0, 0.03))
            watch.kill()
            check(watch.diagnostics() == "", f"watch complained: {watch.diagnostics()}")
            book.take(watch)
            for executor in executors:
                executor.check_alive()
        answer += 1
        fleet.rename_into_place(answer)
        watch = fleet.watch()
        for executor in executors:
            executor.wait_event("called", lambda event: event["result"] == answer)
        wait_for(lambda: watch.last("committed"), "the last switch is settled")
        book.take(watch)
        status = fleet.status()
        check(status["epoch"] == max(book.epochs, default=0),
              f"the journal ends at {status['epoch']}, told was {max(book.epochs)}")
        for executor in executors:
            check(epochs_of(executor)[-1] == status["committed_epoch"], f"{executor.name} lags")
            never_back(results_of(executor), f"the result of {executor.name}")
            never_back(epochs_of(executor), f"the epoch of {executor.name}")
            check(len(epochs_of(executor)) == len(set(epochs_of(executor))),
                  f"{executor.name} loaded an epoch twice")
            check(executor.diagnostics() == "", executor.diagnostics())
        print(f"{arguments.kills} kills, {answer} files written, {len(book.epochs)} epochs told, "
              f"{len(epochs_of(executors[0]))} applied")


main(test, add_arguments)
