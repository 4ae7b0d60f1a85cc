#!/usr/bin/python3
"""Executors killed, stopped and started at random through many changesets: every epoch that anybody runs was
committed, nobody goes back, and all that live end on the last one.
`--changesets 500` is the long run."""
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
from fleet import PATIENCE, Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402


def add_arguments(parser):
    parser.add_argument("--changesets", type=int, default=20)
    parser.add_argument("--executors", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)


class Chaos:
    def __init__(self, fleet, count, seed):
        self.fleet = fleet
        self.chance = random.Random(seed)
        self.started = 0
        self.all = []
        self.live = [self.start() for _ in range(count)]
        self.stopped = {}  # executor -> when it goes on
        self.tally = {"killed": 0, "stopped": 0}

    def start(self):
        self.started += 1
        executor = self.fleet.executor(f"worker-{self.started}", every=25)
        self.all.append(executor)
        return executor

    def resume_due(self):
        for executor, until in list(self.stopped.items()):
            if time.monotonic() >= until:
                executor.signal(signal.SIGCONT)
                del self.stopped[executor]

    def any_running(self):
        return next(executor for executor in self.live if executor not in self.stopped)

    def disturb(self):
        self.resume_due()
        now = time.monotonic()
        at = self.chance.randrange(len(self.live))
        victim = self.live[at]
        what = self.chance.random()
        if what < 0.15:
            self.stopped.pop(victim, None)
            victim.kill()
            self.live[at] = self.start()
            self.tally["killed"] += 1
        elif what < 0.3 and victim not in self.stopped and len(self.stopped) < len(self.live) // 2:
            victim.signal(signal.SIGSTOP)
            # Mostly within the lease; now and then beyond it.
            length = 4.0 if self.chance.random() < 0.1 else self.chance.uniform(0.05, 0.4)
            self.stopped[victim] = now + length
            self.tally["stopped"] += 1

    def end(self):
        for executor in self.stopped:
            executor.signal(signal.SIGCONT)
        self.stopped = {}


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        watch = fleet.watch()
        chaos = Chaos(fleet, arguments.executors, arguments.seed)
        for executor in chaos.live:
            executor.wait_event("called", lambda event: event["result"] == 1)
        for number in range(2, arguments.changesets + 2):
            chaos.disturb()
            (fleet.rename_into_place if chaos.chance.random() < 0.7 else fleet.write_in_place)(number)
            # Stopped ones hold a switch up until they go on or their lease ends; changes meanwhile are merged.
            wait_for(lambda n=number: chaos.resume_due() or results_of(chaos.any_running())[-1:] == [n],
                     f"change {number} is live", PATIENCE)
        chaos.end()
        last = arguments.changesets + 1
        for executor in chaos.live:
            executor.wait_event("called", lambda event: event["result"] == last)
        committed = {event["epoch"] for event in watch.of("committed")}
        watch.check_alive()
        for executor in chaos.all:
            never_back(results_of(executor), f"the result of {executor.name}")
            never_back(epochs_of(executor), f"the epoch of {executor.name}")
            check(executor.diagnostics() == "", f"{executor.name}: {executor.diagnostics()}")
            strange = set(epochs_of(executor)) - committed
            check(not strange, f"{executor.name} ran {strange}, which were never settled as committed")
        for executor in chaos.live:
            executor.check_alive()
        excluded = sum(event["excluded"] for event in watch.of("committed"))
        print(f"{len(committed)} epochs committed, {chaos.tally['killed']} executors killed, "
              f"{chaos.tally['stopped']} stopped, {excluded} exclusions")


main(test, add_arguments)
