#!/usr/bin/python3
"""Executors killed, stopped and cut off at random through many changesets: every epoch that anybody runs was
committed, nobody goes back, nobody mixes, and all that live end on the last one.
`--changesets 500` is the long run."""
import random
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
from fleet import PATIENCE, Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402
from proxy import Proxies, listening_ports  # noqa: E402


def add_arguments(parser):
    parser.add_argument("--changesets", type=int, default=20)
    parser.add_argument("--executors", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Chaos:
    def __init__(self, fleet, port, proxies, count, seed):
        self.fleet = fleet
        self.port = port
        self.proxies = proxies
        self.chance = random.Random(seed)
        self.started = 0
        self.all = []
        self.address = {}  # executor -> where it connects to
        self.live = [self.start() for _ in range(count)]
        self.stopped = {}  # executor -> when it goes on
        self.cut = {}      # executor -> when it is connected again
        self.tally = {"killed": 0, "stopped": 0, "cut off": 0}
        self.first = [0.3, 0.2, 0.1]  # a short run has one of each as well

    def start(self):
        self.started += 1
        address = f"127.0.{1 + self.started // 250}.{1 + self.started % 250}"
        self.proxies.add(address)
        executor = self.fleet.executor(f"worker-{self.started}", every=25,
                                       environment={"MODDEV_ENDPOINT": f"tcp://{address}:{self.port}"})
        self.address[executor] = address
        self.all.append(executor)
        return executor

    def resume_due(self, everything=False):
        now = time.monotonic()
        for executor, until in list(self.stopped.items()):
            if everything or now >= until:
                executor.signal(signal.SIGCONT)
                del self.stopped[executor]
        for executor, until in list(self.cut.items()):
            if everything or now >= until:
                self.proxies.heal(self.address[executor])
                del self.cut[executor]

    def any_running(self):
        return next(executor for executor in self.live if executor not in self.stopped and executor not in self.cut)

    def describe(self):
        """Who is where, for a person."""
        def one(executor):
            told = [event for event in executor.events() if event["event"] != "called"]
            how = "stopped" if executor in self.stopped else "cut off" if executor in self.cut else "well"
            return f"{executor.name} ({how}) runs {epochs_of(executor)[-1:]}, last told {told[-1:]}"
        return "\n  ".join(["the executors:", *map(one, self.live)])

    def disturb(self):
        self.resume_due()
        now = time.monotonic()
        at = self.chance.randrange(len(self.live))
        victim = self.live[at]
        what = self.first.pop() if self.first else self.chance.random()
        # Mostly within the lease; now and then beyond it.
        until = now + (4.0 if self.chance.random() < 0.1 else self.chance.uniform(0.05, 0.4))
        well = victim not in self.stopped and victim not in self.cut
        room = len(self.stopped) + len(self.cut) < len(self.live) // 2
        if what < 0.12:
            self.stopped.pop(victim, None)
            self.cut.pop(victim, None)
            victim.kill()
            self.live[at] = self.start()
            self.tally["killed"] += 1
        elif what < 0.24 and well and room:
            victim.signal(signal.SIGSTOP)
            self.stopped[victim] = until
            self.tally["stopped"] += 1
        elif what < 0.36 and well and room:
            (self.proxies.stall if self.chance.random() < 0.5 else self.proxies.sever)(self.address[victim])
            self.cut[victim] = until
            self.tally["cut off"] += 1


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        port = free_port()
        watch = fleet.watch("--bind", f"tcp://127.0.0.1:{port}")
        watch.wait_event("listening")
        ports = listening_ports(watch.process.pid)
        check(port in ports and len(ports) == 2, f"requests and events have a port each: {ports}")
        proxies = Proxies(ports)
        chaos = Chaos(fleet, port, proxies, arguments.executors, arguments.seed)
        for executor in chaos.live:
            executor.wait_event("called", lambda event: event["result"] == 1)
        for number in range(2, arguments.changesets + 2):
            chaos.disturb()
            (fleet.rename_into_place if chaos.chance.random() < 0.7 else fleet.write_in_place)(number)
            # Who is stopped or cut off holds a switch up until it goes on or its lease ends; changes meanwhile are
            # merged.
            wait_for(lambda n=number: chaos.resume_due() or results_of(chaos.any_running())[-1:] == [n],
                     f"change {number} is live", PATIENCE, chaos.describe)
        chaos.resume_due(everything=True)
        last = arguments.changesets + 1
        wait_for(lambda: all(results_of(executor)[-1:] == [last] for executor in chaos.live),
                 f"change {last} is live in all", PATIENCE, chaos.describe)
        wait_for(lambda: watch.last("committed")["epoch"] == epochs_of(chaos.live[0])[-1], "the last one is settled")
        committed = {event["epoch"] for event in watch.of("committed")}
        watch.check_alive()
        denied = [event for event in watch.of("warning") if event["code"] == "access_denied"]
        check(not denied, f"nobody is taken for a stranger: {denied}")
        content = {}  # of an epoch, as anybody saw it
        for executor in chaos.all:
            never_back(results_of(executor), f"the result of {executor.name}")
            never_back(epochs_of(executor), f"the epoch of {executor.name}")
            check(executor.diagnostics() == "", f"{executor.name}: {executor.diagnostics()}")
            strange = set(epochs_of(executor)) - committed
            check(not strange, f"{executor.name} ran {strange}, which were never settled as committed")
            for call in executor.of("called"):
                check(content.setdefault(call["epoch"], call["result"]) == call["result"],
                      f"{executor.name} has {call['result']} in epoch {call['epoch']}, others {content[call['epoch']]}")
        for executor in chaos.live:
            executor.check_alive()
            check(epochs_of(executor)[-1] == max(committed), f"{executor.name} ends on {epochs_of(executor)[-1]}")
        proxies.end()
        excluded = sum(event["excluded"] for event in watch.of("committed"))
        print(f"{len(committed)} epochs committed, "
              + ", ".join(f"{count} executors {what}" for what, count in chaos.tally.items())
              + f", {excluded} exclusions")


main(test, add_arguments)
