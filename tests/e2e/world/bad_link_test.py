#!/usr/bin/python3
"""A connection that stalls, falls silent for longer than a lease and is cut, between one executor and the daemon: a
proxy of this test's own stands in the way. Whoever is behind it always comes to the newest epoch, never goes back and
never runs anything that was not committed; the other one goes on meanwhile.
`--changes 200` is the long run."""
import os
import random
import selectors
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
from fleet import Fleet, check, epochs_of, main, never_back, results_of, wait_for  # noqa: E402

NEAR, FAR = "127.0.0.1", "127.0.0.2"  # the daemon's address, and the one that leads through the proxy
LEASE = 3.0


def add_arguments(parser):
    parser.add_argument("--changes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)


class Proxy:
    """Bytes between FAR:port and NEAR:port, for every port. One thread; ends with `end()`."""

    def __init__(self, ports, seed):
        self.chance = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.pairs = {}  # each end of a connection -> the other
        self.silent_until = 0.0
        self.bad = True
        self.tally = {"connections": 0, "cut": 0, "stalled": 0, "silent": 0, "bytes": 0}
        self._cut_all = self._ended = False
        self.listeners = []
        for port in ports:
            listener = socket.create_server((FAR, port))
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, port)
            self.listeners.append(listener)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self):
        self._cut_all = True

    def fall_silent(self, seconds):
        """What comes meanwhile waits, in both directions."""
        self.tally["silent"] += 1
        self.silent_until = time.monotonic() + seconds

    def end(self):
        self._ended = True
        self._thread.join(10)

    def _run(self):
        while not self._ended:
            if self._cut_all:
                self._cut_all = False
                self.tally["cut"] += len(self.pairs) // 2
                for one in list(self.pairs):
                    self._drop(one)
            left = self.silent_until - time.monotonic()
            if left > 0:
                time.sleep(min(left, 0.02))
                continue
            for key, _ in self.selector.select(0.02):
                if key.data is not None:
                    self._accept(key.fileobj, key.data)
                else:
                    self._pass_on(key.fileobj)
        for one in [*self.pairs, *self.listeners]:
            one.close()

    def _accept(self, listener, port):
        near, _ = listener.accept()
        try:
            far = socket.create_connection((NEAR, port), timeout=5)
        except OSError:
            near.close()
            return
        self.tally["connections"] += 1
        for one, other in ((near, far), (far, near)):
            one.settimeout(5)
            self.pairs[one] = other
            self.selector.register(one, selectors.EVENT_READ, None)

    def _pass_on(self, one):
        if one not in self.pairs:
            return  # cut in this very round
        if self.bad and self.chance.random() < 0.02:
            self.tally["stalled"] += 1
            self.silent_until = time.monotonic() + self.chance.uniform(0.01, 0.4)
        try:
            # In small pieces, so that messages come in parts.
            data = one.recv(self.chance.choice((7, 100, 65536)) if self.bad else 65536)
            if data:
                self.pairs[one].sendall(data)
                self.tally["bytes"] += len(data)
                return
        except OSError:
            pass
        self._drop(one)

    def _drop(self, one):
        other = self.pairs.pop(one, None)
        for end in filter(None, (one, other)):
            self.pairs.pop(end, None)
            try:
                self.selector.unregister(end)
            except (KeyError, ValueError):
                pass
            end.close()


def free_ports(count):
    """Of the loopback, and free at both addresses."""
    held = [socket.create_server((NEAR, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def events_port(pid, port):
    """The other port that the daemon listens at: read from /proc, since only its clients are told."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}", encoding="ascii") as file:
            for fields in map(str.split, file.readlines()[1:]):
                if fields[3] == "0A":
                    inodes[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    mine = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:["):
            mine.add(inodes.get(target[8:-1]))
    other, = mine - {None, port}
    return other


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        port, = free_ports(1)
        fleet.rename_into_place(1)
        watch = fleet.watch("--bind", f"tcp://{NEAR}:{port}")
        watch.wait_event("listening")
        proxy = Proxy([port, events_port(watch.process.pid, port)], arguments.seed)
        near = fleet.executor("near", every=20, environment={"MODDEV_ENDPOINT": f"tcp://{NEAR}:{port}"})
        far = fleet.executor("far", every=20, environment={"MODDEV_ENDPOINT": f"tcp://{FAR}:{port}"})
        for executor in (near, far):
            executor.wait_event("called", lambda event: event["result"] == 1)
        slowest = 0.0
        for number in range(2, arguments.changes + 2):
            fate = proxy.chance.random()
            if fate < 0.25:
                proxy.cut()
            elif fate < 0.4:
                proxy.fall_silent(LEASE + 1.5)
            begin = time.monotonic()
            fleet.rename_into_place(number)
            near.wait_event("called", lambda event, number=number: event["result"] == number)
            slowest = max(slowest, time.monotonic() - begin)
            if proxy.chance.random() < 0.5:
                far.wait_event("called", lambda event, number=number: event["result"] == number)
        proxy.bad = False
        last = arguments.changes + 1
        far.wait_event("called", lambda event: event["result"] == last)
        wait_for(lambda: len(fleet.status("--endpoint", f"tcp://{NEAR}:{port}")["executors"]) == 2, "both are members")
        # The line comes when everyone has told that it switched: after the calls.
        newest = max(max(epochs_of(executor)) for executor in (near, far))
        wait_for(lambda: any(event["epoch"] >= newest for event in watch.of("committed")), "the last line")
        committed = {event["epoch"] for event in watch.of("committed")}
        for executor in (near, far):
            executor.check_alive()
            never_back(results_of(executor), f"the result of {executor.name}")
            never_back(epochs_of(executor), f"the epoch of {executor.name}")
            strange = set(epochs_of(executor)) - committed
            check(not strange, f"{executor.name} ran {strange}, which were never settled as committed")
            check(executor.diagnostics() == "", f"{executor.name}: {executor.diagnostics()}")
        proxy.end()
        print(f"{arguments.changes} changes, {len(epochs_of(far))} epochs behind the proxy; {proxy.tally}; slowest change "
              f"for the other one {slowest:.1f} s")


main(test, add_arguments)
