#!/usr/bin/python3
"""A hostile daemon, over plain sockets, and a real executor: what no ZeroMQ library and no moddev would send. The executor
goes on, does not grow by more than a bound, writes nothing outside of its cache, and joins the true daemon as soon as
that one answers. Prints one line for each attack."""
import os
import pathlib
import re
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
import zmtp  # noqa: E402
from fleet import Fleet, check, main, wait_for  # noqa: E402

MIB = 1 << 20
REPO, INCARNATION = b"R" * 16, b"I" * 16
EVIL = ["../../evil", "/etc/evil", "a/../../evil", "..", "a\\..\\evil", "e\0vil", "x" * 256]


def rss_of(process):
    status = pathlib.Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def id_of(request):
    at = request.index(b"\xa2id") + 3
    kind = request[at]
    if kind < 0x80:
        return kind
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}[kind]
    return int.from_bytes(request[at + 1:at + 1 + size], "big")


def type_of(request):
    at = request.index(b"\xa4type") + 5
    return request[at + 1:at + 1 + (request[at] & 31)].decode()


def module(name, path=None, size=4):
    return {"name": name, "kind": "blob", "version": 1, "digest": b"d" * 32, "size": size, "path": path or name,
            "depends_on": [], "changed_at_ns": 1}


def snapshot(*modules):
    return {"type": "snapshot", "repo": REPO, "incarnation": INCARNATION, "seq": 1,
            "committed": {"epoch": 1, "modules": list(modules)}}


class HostileDaemon:
    """`greet(stream)` for new connections, else an ordinary handshake; then `reply(stream, type, id)` to each request
    for which it returns True; hello is answered by default."""

    def __init__(self):
        self.greet, self.reply, self.count, self.stopping = None, None, 0, False
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.endpoint, self.events = (f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in self.listeners)
        self.streams = []
        for listener, kind in zip(self.listeners, ("ROUTER", "XPUB")):
            threading.Thread(target=self.accept, args=(listener, kind), daemon=True).start()

    def accept(self, listener, kind):
        while not self.stopping:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            self.streams.append(stream)
            threading.Thread(target=self.serve, args=(stream, kind), daemon=True).start()

    def serve(self, stream, kind):
        try:
            if self.greet is not None:
                self.greet(stream)
                self.count += 1
                while stream.recv(4096):
                    pass
                return
            stream.sendall(zmtp.greeting(server=True))
            zmtp.read_exactly(stream, 64)
            stream.sendall(zmtp.ready(Socket_Type=kind))
            zmtp.read_frame(stream)
            while kind == "ROUTER":
                request = zmtp.read_message(stream)[-1]
                kind_of, number = type_of(request), id_of(request)
                if self.reply is not None and self.reply(stream, kind_of, number):
                    self.count += 1
                elif kind_of == "hello":
                    self.say(stream, number, type="hello", repo=REPO, incarnation=INCARNATION, heartbeat_ms=1000,
                             events_endpoint=f"tcp://*:{self.events.rsplit(':', 1)[1]}", lease_ms=3000, epoch=1,
                             committed_epoch=1, pid=1, directory="/x", software="x")
            while stream.recv(4096):
                pass
        except (OSError, struct.error):
            pass
        finally:
            stream.close()

    @staticmethod
    def say(stream, number, **body):
        stream.sendall(zmtp.frame(b"", zmtp.MORE) + zmtp.frame(zmtp.pack({"v": 1, "id": number, **body})))

    def stop(self):
        self.stopping = True
        for one in (*self.listeners, *self.streams):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


def endless(stream, kind, number):
    """Parts without end, 20 MiB a second. Who hears nothing else for his lease, 3 s, begins anew."""
    part, began, sent = zmtp.frame(b"x" * 65_000, zmtp.MORE), time.monotonic(), 0
    try:
        while sent < 400 * MIB:
            stream.sendall(part)
            sent += len(part)
            time.sleep(max(0, sent / (20 * MIB) - (time.monotonic() - began)))  # the pace of a network
    except OSError:
        return True
    return False


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        hostile = HostileDaemon()
        executor = fleet.executor("victim", every=50, environment={"MODDEV_ENDPOINT": hostile.endpoint})

        def attack(name, greet=None, reply=None, times=2, growth=48 * MIB):
            for stream in hostile.streams:
                try:
                    stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            hostile.streams.clear()
            before, hostile.count = rss_of(executor), 0
            most = before
            hostile.greet, hostile.reply = greet, reply

            def enough():
                nonlocal most
                most = max(most, rss_of(executor))
                return hostile.count >= times
            wait_for(enough, f"{name}: {times} times")
            executor.check_alive()
            check(most - before < growth, f"{name}: it grew by {(most - before) / MIB:.0f} MiB")
            check(not executor.of("applied") and not executor.of("called"), f"{name}: it runs {executor.events()}")
            print(f"{name}: {hostile.count} times, the executor grew by {max(0, most - before) / MIB:.1f} MiB")

        for what, noise in (("garbage", os.urandom(4096)), ("http", b"HTTP/1.1 200 OK\r\n\r\n"), ("nothing", b""),
                            ("an old version", b"\1\0" * 32)):
            attack(f"greeted with {what}", greet=lambda stream, noise=noise: stream.sendall(noise), times=1)
        for size in (1 << 62, (1 << 64) - 1, 32 * MIB + 1):
            attack(f"a frame of {size} bytes", times=2,
                   reply=lambda stream, kind, number, size=size: stream.sendall(zmtp.header(size)) or True)
        attack("no msgpack", reply=lambda stream, kind, number:
               stream.sendall(zmtp.frame(b"", zmtp.MORE) + zmtp.frame(b"\xdf\xff\xff\xff\xff")) or True)
        attack("deep nesting", reply=lambda stream, kind, number:
               stream.sendall(zmtp.frame(b"", zmtp.MORE) + zmtp.frame(b"\x91" * MIB)) or True)
        attack("100,000 parts", reply=lambda stream, kind, number:
               stream.sendall(zmtp.frame(b"x", zmtp.MORE) * 100_000 + zmtp.frame(b"")) or True)

        attack("a message without an end", reply=endless, times=1, growth=192 * MIB)

        def join(answer):
            def reply(stream, kind, number):
                if kind not in ("join", "snapshot"):
                    return False
                answer(stream, number)
                return True
            return reply
        for name in EVIL:
            attack(f"a module named {name[:20]!r}", reply=join(
                lambda stream, number, name=name: hostile.say(stream, number, **snapshot(module(name)))), times=1)
            attack(f"a file at {name[:20]!r}", reply=join(
                lambda stream, number, name=name: hostile.say(stream, number, **snapshot(module("m", name)))), times=1)
        attack("a module of 2^62 bytes", reply=join(
            lambda stream, number: hostile.say(stream, number, **snapshot(module("m", size=1 << 62)))), times=1)
        for count, modules in ((1 << 31, []), (100_001, [module(f"m{n}") for n in range(100_001)])):
            packed = zmtp.Packed(b"\xdd" + struct.pack(">I", count) + b"".join(map(zmtp.pack, modules)))
            answer = {**snapshot(), "committed": {"epoch": 1, "modules": packed}}
            attack(f"a manifest of {count} modules", times=1, growth=256 * MIB, reply=join(
                lambda stream, number, answer=answer: hostile.say(stream, number, **answer)))

        check(not [path for path in fleet.root.rglob("*evil*")], "nothing is written elsewhere")
        port = re.search(r":(\d+)$", hostile.endpoint)[1]
        hostile.stop()
        fleet.watch("--bind", f"tcp://127.0.0.1:{port}")
        executor.wait_event("called", lambda event: event["result"] == 1)
        print("then the true daemon: joined")


if __name__ == "__main__":
    main(test)
