#!/usr/bin/python3
"""Whoever knocks at a real daemon: crowds of silent connections with few descriptors at hand, garbage, peers of older
and newer protocols. Each gets a clear answer or none, nobody waits for ever, and the executors notice nothing. A
stopped daemon makes nobody hang. Needs python3-zmq and python3-msgpack; ends with 77 (skipped) without them."""
import glob
import os
import random
import resource
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
from fleet import Failed, Fleet, check, epochs_of, main, results_of, wait_for  # noqa: E402

try:
    import msgpack
    import zmq
except ImportError as missing:
    print(f"skipped: {missing}")
    raise SystemExit(77) from missing

FEW = 64  # descriptors, softly
MANY = 300  # connections


class Stranger:
    """A REQ socket as any language has it."""

    def __init__(self, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.REQ)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 5000)
        self.socket.setsockopt(zmq.REQ_RELAXED, 1)
        self.socket.setsockopt(zmq.REQ_CORRELATE, 1)
        self.socket.connect(endpoint)

    def ask(self, what, *more):
        frame = what if isinstance(what, bytes) else msgpack.packb(what)
        self.socket.send_multipart([frame, *more])
        try:
            return msgpack.unpackb(self.socket.recv_multipart()[0])
        except zmq.Again as nothing:
            raise Failed(f"no answer to {len(more) + 1} frames {frame[:60]!r}") from nothing


def few_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))


def crowd_of_silent_ones(fleet, watch, path):
    """More connections than the soft limit of descriptors lets in."""
    silent = []
    for _ in range(MANY):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(5)
        one.connect(path)
        silent.append(one)
    status = fleet.status()
    check(status is not None and status["committed_epoch"] >= 1, f"status says {status}")
    watch.check_alive()
    # Who says nothing is let go.
    silent[0].settimeout(20)
    while silent[0].recv(4096):
        pass
    for one in silent:
        one.close()


def garbage(endpoint, path):
    stranger = Stranger(endpoint)
    hello = stranger.ask({"v": 1, "id": 7, "type": "hello", "software": "stranger"})
    check(hello["type"] == "hello" and hello["id"] == 7, f"hello was answered with {hello}")
    for version in (0, 2, 3, 2**64 - 1):
        reply = stranger.ask({"v": version, "id": 9, "type": "hello", "software": "x", "new": {"key": [1]}})
        check(reply["type"] == "error" and reply["code"] == "unsupported" and reply["id"] == 9, f"{version}: {reply}")
        check(str(version) in reply["message"] and "1" in reply["message"], f"which versions: {reply['message']}")
    wrong = [b"", b"\xc1", b"\xff" * 1000, b"\x81", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 60,
             msgpack.packb([1, 2]), msgpack.packb({"v": 1}), msgpack.packb({"v": "1", "id": 1, "type": "hello"}),
             msgpack.packb({"v": 1, "id": 1, "type": "no-such-thing"}),
             msgpack.packb({"v": 1, "id": 1, "type": "blob", "digest": b"short", "offset": 0, "length": 1}),
             msgpack.packb({"v": 1, "id": 1, "type": "blob", "digest": b"d" * 32, "offset": 0, "length": 2**40}),
             msgpack.packb({"v": 1, "id": 1, "type": "hello", "software": "x"}) + b"behind",
             b"\x00" * 3_000_000]
    chance = random.Random(4)
    wrong += [chance.randbytes(chance.randrange(1, 200)) for _ in range(200)]
    for frame in wrong:
        reply = stranger.ask(frame)
        check(reply["type"] == "error" and reply["message"], f"{frame[:40]!r} was answered with {reply}")
    reply = stranger.ask(msgpack.packb({"v": 1, "id": 3, "type": "status"}), *[b"more"] * 200)
    check(reply["type"] == "error" and reply["code"] == "limit", f"200 frames were answered with {reply}")
    # What is no ZMTP at all is hung up on.
    for noise in (b"GET / HTTP/1.1\r\n\r\n", chance.randbytes(4096)):
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(20)
            plain.connect(path)
            try:
                plain.sendall(noise)
                while plain.recv(4096):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass


def stopped_daemon(fleet, watch, executor):
    """Whoever asks is told in time, the executor says that it is stale and goes on, and all is well afterwards."""
    watch.signal(signal.SIGSTOP)
    begin = time.monotonic()
    asked = fleet.run("status", "--json")
    took = time.monotonic() - begin
    check(asked.returncode == 1 and "answer" in asked.stderr and took < 20, f"{took:.1f} s: {asked}")
    executor.wait_event("stale")
    count = len(results_of(executor))
    wait_for(lambda: len(results_of(executor)) > count + 5, "the executor goes on")
    watch.signal(signal.SIGCONT)
    fleet.rename_into_place(3)
    executor.wait_event("called", lambda event: event["result"] == 3)
    return took


def spoilt_journal(fleet, executor):
    """Said plainly, under a new repo id, and everything is live again."""
    told = []
    for answer, spoil in ((4, "damaged"), (5, "missing")):
        repo = fleet.status()["repo"]
        fleet.processes_named("watch")[-1].kill()
        journal, = glob.glob(str(fleet.root / "state" / "**" / "journal.sqlite"), recursive=True)
        for path in glob.glob(journal + "*"):
            if path.endswith(".lock") or ".damaged" in path:
                continue
            if spoil == "missing":
                os.unlink(path)
            else:
                size = os.path.getsize(path)
                with open(path, "r+b") as file:
                    file.write(b"\xa5" * size)
        watch = fleet.watch()
        warning = watch.wait_event("warning", lambda event: event["code"] == "journal_repaired")
        check(spoil in warning["message"] and "new" in warning["message"], warning["message"])
        fleet.rename_into_place(answer)
        executor.wait_event("called", lambda event, answer=answer: event["result"] == answer)
        check(fleet.status()["repo"] != repo, "a new history has the repo id of the old one")
        told.append(warning["message"].split(".")[0])
    return told


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        watch = fleet.watch(preexec=few_descriptors)
        executor = fleet.executor("worker", every=20)
        executor.wait_event("called", lambda event: event["result"] == 1)
        endpoint = watch.wait_event("listening")["endpoint"]
        path = endpoint.removeprefix("ipc://")

        crowd_of_silent_ones(fleet, watch, path)
        garbage(endpoint, path)
        check(epochs_of(executor) == [1] and executor.last("stale") is None, f"it noticed: {executor.events()}")
        fleet.rename_into_place(2)
        executor.wait_event("called", lambda event: event["result"] == 2)
        check(watch.diagnostics() == "", watch.diagnostics())

        took = stopped_daemon(fleet, watch, executor)
        told = spoilt_journal(fleet, executor)
        executor.check_alive()
        print(f"`status` at a stopped daemon ended after {took:.1f} s; journals: {told}")


main(test)
