#!/usr/bin/python3
"""Everybody who should not get in, and everything that should not be run, once each, with real processes: a stranger's
key, no key, another user, a replayed manifest, a flipped byte, a wrong signer, a forbidden module. Each is refused with
its message, which is printed; nothing of it is loaded; and the daemon serves others within a second. What the network
could do to signed messages is done by a relay between a real daemon and a real executor.
Needs root and setpriv for the other user; is skipped (77) without."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "world"))
import socket  # noqa: E402

import zmtp  # noqa: E402
from fleet import Fleet, Process, check, main, results_of, wait_for  # noqa: E402

NOBODY = 65534
SOON = 1.0  # seconds, for others meanwhile
STATEMENT = b"\xc4\xe0"  # msgpack: 224 bytes follow
PROPOSED = 1  # PROTOCOL.md, section 14


def purpose(statement):
    return statement[112]


class Relay:
    """Both ways of one daemon, on ports of its own. `tamper` may change a statement on its way to the executor."""

    def __init__(self, endpoint, events):
        self.tamper = lambda statement: statement
        self.events_port, self.own_events = events.rsplit(":", 1)[1], self.listen(events)
        self.endpoint = f"tcp://127.0.0.1:{self.listen(endpoint)}"

    def listen(self, target):
        listener = socket.create_server(("127.0.0.1", 0))
        # The same number of digits, so that lengths stay.
        while len(str(listener.getsockname()[1])) != len(target.rsplit(":", 1)[1]):
            listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, args=(listener, target), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener, target):
        while True:
            near, _ = listener.accept()
            far = zmtp.plain(target, timeout=None)
            threading.Thread(target=self.forward, args=(near, far), daemon=True).start()
            threading.Thread(target=self.forward_frames, args=(far, near), daemon=True).start()

    @staticmethod
    def forward(source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def forward_frames(self, source, target):
        try:
            for _ in range(64):  # the greeting, of which each side waits for the other's
                target.sendall(zmtp.read_exactly(source, 1))
            while True:
                flags, body = zmtp.read_frame(source)
                body = body.replace(f"tcp://*:{self.events_port}".encode(), f"tcp://*:{self.own_events}".encode())
                at = body.find(STATEMENT)
                if at >= 0 and not flags & zmtp.COMMAND:
                    at += len(STATEMENT)
                    body = body[:at] + self.tamper(body[at:at + 224]) + body[at + 224:]
                head = zmtp.header(len(body), flags & ~zmtp.LONG) if flags & zmtp.LONG else bytes([flags, len(body)])
                target.sendall(head + body)
        except OSError:
            pass


class Show:
    def __init__(self, fleet):
        self.fleet, self.shown = fleet, 0
        self.there = self.keys(fleet.environment)
        self.elsewhere = dict(fleet.environment)  # another machine, so to speak
        for variable, name in (("HOME", "home2"), ("XDG_RUNTIME_DIR", "run2"), ("XDG_CACHE_HOME", "cache2")):
            (fleet.root / name).mkdir(mode=0o700)
            self.elsewhere[variable] = str(fleet.root / name)
        self.here = self.keys(self.elsewhere)
        fleet.run("trust", "add", "laptop", self.here["transport"])
        fleet.rename_into_place(1)
        self.watch = fleet.watch("--bind", f"ipc://{fleet.root}/run/moddev/default.sock", "--bind", "tcp://127.0.0.1:*",
                                 "--bind", "tcp://0.0.0.0:*")
        wait_for(lambda: len(self.watch.of("listening")) == 3, "three endpoints")
        self.ipc, self.loopback, network = (event["endpoint"] for event in self.watch.of("listening"))
        self.network = f"tcp://127.0.0.1:{network.rsplit(':', 1)[1]}"
        self.honest = self.executor("honest", "--signers", self.there["signing"])
        self.honest.wait_event("called", lambda event: event["result"] == 1)

    def keys(self, environment):
        printed = json.loads(self.moddev("keygen", "--json", environment=environment).stdout)
        return {kind: printed[kind]["public_key"] for kind in ("transport", "signing")}

    def moddev(self, *words, environment=None, user=None, program=None):
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return subprocess.run([*as_user, program or self.fleet.moddev, *words], text=True, capture_output=True,
                              env=environment or self.fleet.environment, timeout=120, cwd="/", check=False)

    def executor(self, name, *flags):
        environment = {"XDG_CACHE_HOME": str(self.fleet.root / f"cache-{name}")}
        pathlib.Path(environment["XDG_CACHE_HOME"]).mkdir(mode=0o700)
        return Process(self.fleet, [self.fleet.moddev, "executor", "--name", name, "--json", "--call", "m:answer",
                                   "--every", "20", *flags], name, environment)

    def served_soon(self):
        begin = time.monotonic()
        stream = zmtp.connected(self.loopback)
        stream.sendall(zmtp.request("status"))
        check(b"committed_epoch" in zmtp.read_message(stream)[-1], "status is answered")
        stream.close()
        took = time.monotonic() - begin
        check(took < SOON, f"others waited for {took:.2f} s")
        return took

    def refused(self, what, message, *wanted):
        message = " ".join(message.split())
        for text in wanted:
            check(text in message, f"{what}: '{text}' is not in: {message}")
        took = self.served_soon()
        self.watch.check_alive()
        self.honest.check_alive()
        self.shown += 1
        print(f"{self.shown}. {what}: {message}\n   nothing loaded; others served in {took * 1000:.0f} ms")


def strangers(show):
    trusting = show.moddev("trust", "add", show.network, show.there["transport"], environment=show.elsewhere)
    check(trusting.returncode == 0, trusting.stderr)
    friend = show.moddev("status", "--endpoint", show.network, environment=show.elsewhere)
    check(friend.returncode == 0, f"a friend gets in: {friend.stderr}")
    show.moddev("keygen", "--replace", "transport", environment=show.elsewhere)
    stranger = show.keys(show.elsewhere)["transport"]
    target = show.fleet.root / "stolen"
    done = show.moddev("fetch", "m", "-o", str(target), "--endpoint", show.network, environment=show.elsewhere)
    check(done.returncode == 1 and not target.exists(), f"fetched: {done}")
    show.refused("a stranger's key", done.stderr, "does not trust the key", stranger)

    show.moddev("trust", "remove", show.network, environment=show.elsewhere)
    done = show.moddev("fetch", "m", "-o", str(target), "--endpoint", show.network, environment=show.elsewhere)
    check(done.returncode == 1 and not target.exists(), f"fetched: {done}")
    show.refused("no key", done.stderr, "moddev trust add")


def another_user(show):
    with tempfile.TemporaryDirectory(prefix="moddev-nobody-") as place:
        program = shutil.copy(show.fleet.moddev, f"{place}/moddev")
        home = pathlib.Path(place) / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        pathlib.Path(place).chmod(0o755)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        told = ""
        for endpoint in (show.ipc, show.loopback):
            done = show.moddev("fetch", "m", "-o", str(home / "stolen"), "--endpoint", endpoint, user=NOBODY,
                               program=program, environment=environment)
            check(done.returncode == 1 and not (home / "stolen").exists(), f"fetched: {done}")
            told += done.stderr
    show.refused("another user", told, "This daemon serves processes of user")


def tampered(show):
    """The network between the daemon and an executor that believes the daemon's signer only."""
    stream = zmtp.connected(show.loopback)
    stream.sendall(zmtp.request("hello", software="test"))
    hello = zmtp.read_message(stream)[-1]
    stream.close()
    port = bytes(b for b in hello.split(b"tcp://*:")[1][:5] if chr(b).isdigit()).decode()
    relay = Relay(show.loopback, f"tcp://127.0.0.1:{port}")
    heard = {}

    def record(statement):
        heard.setdefault(purpose(statement), statement)
        return statement

    relay.tamper = record
    victim = show.executor("victim", "--signers", show.there["signing"], "--endpoint", relay.endpoint)
    victim.wait_event("called", lambda event: event["result"] == 1)
    show.fleet.rename_into_place(2)
    for executor in (victim, show.honest):
        executor.wait_event("called", lambda event: event["result"] == 2)
    old = heard[PROPOSED]

    def attack(what, tamper, answer, *wanted):
        relay.tamper = tamper
        before, aborts = len(victim.of("failed")), len(show.watch.of("aborted"))
        show.fleet.rename_into_place(answer)
        wait_for(lambda: len(victim.of("failed")) > before, f"{what}: the executor refuses")
        told = victim.of("failed")[-1]["error"]
        wait_for(lambda: len(show.watch.of("aborted")) > aborts, "the epoch is aborted for all")
        for executor in (victim, show.honest):
            check(set(results_of(executor)) == {1, 2}, f"{what}: {executor.name} called {set(results_of(executor))}")
        relay.tamper = lambda statement: statement
        show.refused(what, told, *wanted)

    attack("a replayed manifest", lambda statement: old if purpose(statement) == PROPOSED else statement, 3,
           "What is signed is about epoch 2")
    attack("a flipped byte", lambda statement: statement[:70] + bytes([statement[70] ^ 1]) + statement[71:]
           if purpose(statement) == PROPOSED else statement, 4, "The signature does not belong to what was signed")
    show.fleet.rename_into_place(5)
    for executor in (victim, show.honest):
        executor.wait_event("called", lambda event: event["result"] == 5)
    check(not {3, 4} & set(results_of(victim)), "what was refused never ran")
    victim.kill()


def wrong_signer(show):
    careful = show.executor("careful", "--signers", show.here["signing"])
    told = careful.wait_event("stale")["reason"]
    check(not careful.of("applied") and not careful.of("called"), "it runs nothing")
    careful.kill()
    show.refused("a wrong signer", told, "It is signed by " + show.there["signing"], show.here["signing"])


def forbidden_module(show):
    picky = show.executor("picky", "--modules", "m")
    picky.wait_event("called", lambda event: event["result"] == 5)
    show.fleet.compile("miner", 7)
    failed = picky.wait_event("failed")
    check(failed["module"] == "miner", f"{failed}")
    check(set(results_of(picky)) == {5}, "it goes on")
    show.refused("a forbidden module", f"{failed['module']}: {failed['error']}", "its `modules` are m")


def test(arguments):
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        print("skipped: needs root and setpriv to be another user")
        raise SystemExit(77)
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        show = Show(fleet)
        strangers(show)
        another_user(show)
        tampered(show)
        wrong_signer(show)
        forbidden_module(show)
        check(show.shown == 7, "all seven")
        # It is written a little later.
        for text in ("is not trusted", "user 65534", "miner", "does not belong"):
            wait_for(lambda text=text: text in fleet.run("audit", "--last", "100").stdout, f"'{text}' in the audit")


if __name__ == "__main__":
    main(test)
