#!/usr/bin/python3
"""A module that a key may not know, in the plain text of every answer that the key gets: to every request there is, by
programs and by hand, and in all events, while that module is changed, refused, rolled back, run by others, needed by a
module that the key may know, and lies on the disk as what cannot be published. Its name is nowhere.
Needs python3-zmq and python3-msgpack; ends with 77 (skipped) without them."""
import hashlib
import json
import os
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "world"))
from fleet import Fleet, Process, check, main, wait_for  # noqa: E402

try:
    import msgpack
    import zmq
    import zmq.auth
except ImportError as missing:
    print(f"skipped: {missing}")
    raise SystemExit(77) from missing

SECRET = "topsecret"
RULES = f"""
[dependencies]
"ui/menu" = ["{SECRET}"]
[[access]]
who = ["laptop"]
may = ["status", "fetch", "run", "rollback"]
modules = ["ui/*"]
[[access]]
who = ["laptop"]
may = ["publish"]
[executor]
modules = ["ui/*", "m", "{SECRET}"]
"""


class Ears:
    """What comes over a connection with laptop's key, as bytes."""

    def __init__(self, endpoint, daemon_key, secret_file):
        self.curve = daemon_key.encode(), *zmq.auth.load_certificate(secret_file)
        self.context, self.heard, self.ids = zmq.Context.instance(), [], 0
        self.requests = self.open(zmq.DEALER, endpoint)
        hello = self.ask("hello", software="ears")
        self.events = self.open(zmq.SUB, hello["events_endpoint"].replace("*", "127.0.0.1"))
        self.events.subscribe(b"")

    def open(self, kind, endpoint):
        one = self.context.socket(kind)
        one.linger = 0
        one.curve_serverkey, one.curve_publickey, one.curve_secretkey = self.curve
        one.connect(endpoint)
        return one

    def ask(self, kind, **fields):
        """The answer's header."""
        self.ids += 1
        self.requests.send_multipart([b"", msgpack.packb({"v": 1, "id": self.ids, "type": kind, **fields})])
        while self.requests.poll(20_000):
            frames = self.requests.recv_multipart()
            self.heard.append((kind, b"".join(frames)))
            header = msgpack.unpackb(frames[1])
            if header["id"] == self.ids:
                return header
        raise AssertionError(f"no answer to {kind}")

    def listen(self):
        count = 0
        while self.events.poll(0):
            self.heard.append(("event", b"".join(self.events.recv_multipart())))
            count += 1
        return count

    def check_discretion(self, secrets):
        self.listen()
        for what, data in self.heard:
            for secret in secrets:
                check(secret not in data, f"{what}: {secret!r} is in {data!r}")


def every_request(ears, epochs, digests):
    me = os.urandom(16)
    executor = {"id": me, "name": "ears", "host": "h", "pid": 1}
    ears.ask("snapshot")
    ears.ask("status")
    ears.ask("refresh")
    ears.ask("build", action="begin", build=b"b" * 16)
    ears.ask("build", action="end", build=b"b" * 16, success=True)
    ears.ask("join", executor=executor, repo=bytes(16), epoch=0)
    ears.ask("alive", executor=me, state="live", epoch=0, pins=[], retired_bytes=0)
    for epoch in range(epochs + 2):
        ears.ask("manifest", epoch=epoch)
    for digest in digests:
        ears.ask("blob", digest=digest, offset=0, length=100)
    for name in ("", "ui/menu", "ui", "opsecre", "topsecre"):
        for kind, more in (("history", {"before": 0, "limit": 0}), ("runs", {"skip": 0}),
                           ("rollback", {"to": 0, "key": os.urandom(16)})):
            ears.ask(kind, module=name, **more)
        ears.ask("module", name=name or "x", have=0, repo=bytes(16), version=0)
        ears.ask("module", name=name or "x", have=0, repo=bytes(16), version=1)
    ears.ask("leave", executor=me)


def programs(fleet, elsewhere, endpoint):
    """Whatever the key's owner can type. Returns everything that was printed."""
    printed = ""
    for words in (["status"], ["status", "--json"], ["history"], ["history", "--json"], ["stats"], ["stats", "--json"],
                  ["fetch", "opsecre", "-o", "-"], ["fetch", "ui/menu", "-o", "-"], ["rollback"],
                  ["rollback", "ui/menu"], ["refresh"], ["audit", "--last", "1000"]):
        extra = [] if words[0] == "audit" else ["--endpoint", endpoint]
        done = fleet.run_as(elsewhere, *words, *extra)
        printed += f"$ {words}\n{done.stdout}{done.stderr}"
    return printed


class Here(Fleet):
    def run_as(self, environment, *words):
        mine, self.environment = self.environment, environment
        try:
            return self.run(*words)
        finally:
            self.environment = mine


def test(arguments):
    with tempfile.TemporaryDirectory(prefix="moddev-hidden-") as place, Here(arguments.moddev, arguments.compiler,
                                                                             place) as fleet:
        elsewhere = dict(fleet.environment)
        for variable, name in (("HOME", "home2"), ("XDG_RUNTIME_DIR", "run2"), ("XDG_CACHE_HOME", "cache2"),
                               ("XDG_STATE_HOME", "state2")):
            (fleet.root / name).mkdir(mode=0o700)
            elsewhere[variable] = str(fleet.root / name)
        key = {name: json.loads(fleet.run_as(one, "keygen", "--json").stdout)["transport"]
               for name, one in (("there", fleet.environment), ("here", elsewhere))}
        check(fleet.run("trust", "add", "laptop", key["here"]["public_key"]).returncode == 0, "trust")
        (fleet.directory / "moddev.toml").write_text(RULES)
        (fleet.directory / "ui").mkdir()

        def change(secret, menu):
            (fleet.root / "s").write_text(secret)
            (fleet.root / "s").rename(fleet.directory / SECRET)
            (fleet.root / "u").write_text(menu)
            (fleet.root / "u").rename(fleet.directory / "ui/menu")

        contents = [(f"the secret {n}", f"the menu {n}") for n in range(4)]
        change(*contents[0])
        watch = fleet.watch("--bind", f"ipc://{fleet.root}/run/moddev/default.sock", "--bind", "tcp://0.0.0.0:*")
        wait_for(lambda: len(watch.of("listening")) == 2, "two endpoints")
        network = f"tcp://127.0.0.1:{watch.of('listening')[1]['endpoint'].rsplit(':', 1)[1]}"
        watch.wait_event("committed")
        check(fleet.run_as(elsewhere, "trust", "add", network, key["there"]["public_key"]).returncode == 0, "trust")
        owner = fleet.executor("owner", call=None)
        owner.wait_event("applied")
        ears = Ears(network, key["there"]["public_key"], key["here"]["file"])
        far = Process(fleet, [fleet.moddev, "executor", "--json", "--name", "far", "--endpoint", network], "far",
                      {name: elsewhere[name] for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME")})
        far.wait_event("applied", lambda event: event["modules"] == ["ui/menu"] or "ui/menu" in str(event["modules"]))
        for number in (1, 2):
            before = watch.last("committed")["epoch"]
            change(*contents[number])
            wait_for(lambda: watch.last("committed")["epoch"] > before, "a commit")
            every_request(ears, before + 1, [hashlib.sha256(text.encode()).digest() for pair in contents for text in pair])
        check(fleet.run("rollback", SECRET).returncode == 0, "a rollback of what is hidden")
        (fleet.directory / f"lib{SECRET}.so").write_text("no library")
        watch.wait_event("rejected")
        every_request(ears, 5, [])
        printed = programs(fleet, elsewhere, network)
        ears.listen()
        check("ui/menu" in printed, f"what may be known is told: {printed}")
        for secret in (SECRET, "the secret"):
            check(secret not in printed, f"'{secret}' was printed: {printed}")
            for line in far.events():
                check(secret not in json.dumps(line), f"the executor says {line}")
            check(secret not in far.diagnostics(), far.diagnostics())
        ears.check_discretion((SECRET.encode(), b"the secret"))
        for process in (watch, owner, far):
            process.check_alive()
        kinds = sorted({what for what, _ in ears.heard})
        check("event" in kinds, f"heartbeats are heard: {kinds}")
        told = fleet.status()
        check(SECRET in json.dumps(told), "and the owner sees it")
        print(f"{len(ears.heard)} answers and events ({', '.join(kinds)}) and {len(printed)} characters of programs: "
              f"'{SECRET}' is in none")


if __name__ == "__main__":
    main(test)
