#!/usr/bin/python3
"""Every key is changed, one after the other, while a module is rebuilt all the time and executors call it all the
time: a client is revoked, the clients' key, the daemon's key and the signing key are replaced as README.md tells
("Changing keys"), and in the end somebody signs with the former signing key. No executor ends or stays behind, the
revoked one gets nothing any more, and what the former key signs is called by nobody."""
import json
import pathlib
import shutil
import signal
import socket
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "world"))
from fleet import Fleet, Process, check, main, never_back, results_of, wait_for  # noqa: E402

ROGUE = 1_000_000  # answers from here on are somebody else's


class Builder:
    """Rebuilds the module over and over, each time with the next answer."""

    def __init__(self, fleet):
        self.fleet, self.last, self.thread, self.stopped = fleet, 0, None, threading.Event()

    def start(self, answer):
        self.last = answer
        self.fleet.rename_into_place(answer)
        self.stopped.clear()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.15):
            self.fleet.rename_into_place(self.last + 1)
            self.last += 1

    def stop(self):
        self.stopped.set()
        self.thread.join()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ran(fleet, *words):
    done = fleet.run(*words)
    check(done.returncode == 0, f"moddev {' '.join(words)}: {done.stderr}")
    return done.stdout


def keys(fleet, *replace):
    made = json.loads(ran(fleet, "keygen", "--json", *replace))
    return made["transport"]["public_key"], made["signing"]["public_key"]


class Story:
    def __init__(self, there, here, guest):
        self.there, self.here, self.guest = there, here, guest
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.builder, self.daemon, self.executors = Builder(there), None, []

    def end_daemon(self):
        if self.daemon and self.daemon.running():
            self.daemon.signal(signal.SIGTERM)
            self.daemon.process.wait()

    def restart(self):
        self.end_daemon()
        self.daemon = self.watch(self.there)

    def watch(self, fleet):
        daemon = fleet.watch("--bind", self.endpoint.replace("127.0.0.1", "0.0.0.0"), "--bind",
                             f"ipc://{fleet.root}/run/moddev/default.sock")
        daemon.wait_event("listening")
        return daemon

    def executor(self, fleet, name, endpoint=None):
        flags = ["--endpoint", endpoint] if endpoint else []
        return Process(fleet, [fleet.moddev, "executor", "--json", "--name", name, "--call", "m:answer", "--every", "20",
                               *flags], name)

    def go_on(self, when):
        """Every executor calls something that is newer than now."""
        wanted = self.builder.last + 2
        for executor in self.executors:
            executor.wait_event("called", lambda event: wanted <= event["result"] < ROGUE)
            executor.check_alive()
        print(f"{when}: all have called answer {wanted} or newer")

    def set_up(self):
        transport, signer = keys(self.there)
        for fleet, name in ((self.here, "laptop"), (self.guest, "guest")):
            ran(self.there, "trust", "add", name, keys(fleet)[0])
            ran(fleet, "trust", "add", self.endpoint, transport)
        for fleet in (self.there, self.here, self.guest):
            ran(fleet, "trust", "add", "team", signer)
        self.builder.start(1)
        self.restart()
        self.executors = [self.executor(self.here, name, self.endpoint) for name in ("one", "two", "three")]
        self.executors.append(self.executor(self.there, "local"))
        self.go_on("all keys are old")

    def revoke_a_client(self):
        revoked = self.executor(self.guest, "revoked", self.endpoint)
        revoked.wait_event("called")
        ran(self.there, "trust", "remove", "guest")
        revoked.wait_event("stale", lambda event: "does not trust the key" in event["reason"])
        had = max(results_of(revoked))
        self.go_on("a client was revoked")
        return revoked, had

    def change_the_clients_key(self):
        former = keys(self.here)[0]
        fresh = keys(self.here, "--replace", "transport")[0]
        ran(self.there, "trust", "add", "laptop", fresh)
        self.go_on("the client has two keys")
        ran(self.there, "trust", "remove", "laptop", former)
        self.go_on("the client has the new key only")

    def change_the_daemons_key(self):
        former = keys(self.there)[0]
        fresh = keys(self.there, "--replace", "transport")[0]
        ran(self.here, "trust", "add", self.endpoint, fresh)
        self.go_on("two keys of the daemon are right")
        self.restart()
        self.go_on("the daemon has its new key")
        ran(self.here, "trust", "remove", self.endpoint, former)
        self.restart()
        self.go_on("only the new key of the daemon is right")

    def change_the_signing_key(self):
        """Returns the former secret, and its public key."""
        secret = (self.there.root / "home/.config/moddev/signing.pem").read_text()
        former = keys(self.there)[1]
        fresh = keys(self.there, "--replace", "signing")[1]
        for fleet in (self.here, self.there):
            ran(fleet, "trust", "add", "team", fresh)
        self.go_on("two signers are believed")
        self.restart()
        self.go_on("the new key signs")
        joins = [len(executor.of("joined")) for executor in self.executors]
        for fleet in (self.here, self.there):
            ran(fleet, "trust", "remove", "team", former)
        for executor, before in zip(self.executors, joins):  # who notices joins anew; until then the former one is right
            wait_for(lambda e=executor, n=before: len(e.of("joined")) > n, f"{executor.name} looks at its list")
        self.go_on("only the new signer is believed")
        return secret, former

    def sign_with_the_former_key(self, rogue, stolen, former):
        """Who has the daemon's transport key, too, and its address; but a directory and a history of his own."""
        shutil.copytree(self.there.root / "home/.config", rogue.root / "home/.config")
        (rogue.root / "home/.config/moddev/signing.pem").write_text(stolen)
        builder = Builder(rogue)
        builder.start(ROGUE)
        remote = [executor for executor in self.executors if executor.name != "local"]
        told = [len(executor.of("stale")) for executor in remote]
        self.end_daemon()
        impostor = self.watch(rogue)
        for executor, before in zip(remote, told):
            wait_for(lambda e=executor, n=before: any(f"It is signed by {former}" in event["reason"]
                                                      for event in e.of("stale")[n:]),
                     f"{executor.name} refuses the former signer", state=lambda e=executor: e.events()[-3:])
        builder.stop()
        impostor.kill()
        self.restart()
        self.go_on("after somebody has signed with the former key")


def test(arguments):
    with Fleet(arguments.moddev, arguments.compiler) as there, Fleet(arguments.moddev, arguments.compiler) as here, \
            Fleet(arguments.moddev, arguments.compiler) as guest, Fleet(arguments.moddev, arguments.compiler) as rogue:
        story = Story(there, here, guest)
        story.set_up()
        revoked, had = story.revoke_a_client()
        story.change_the_clients_key()
        story.change_the_daemons_key()
        story.sign_with_the_former_key(rogue, *story.change_the_signing_key())
        story.builder.stop()
        for executor in story.executors:
            executor.check_alive()
            never_back(results_of(executor), f"the result of {executor.name}")
            check(max(results_of(executor)) < ROGUE, f"{executor.name} called what the former key signed")
        revoked.check_alive()
        check(max(results_of(revoked)) == had, "the revoked client got something after all")
        print(f"{story.builder.last} rebuilds, {sum(len(results_of(e)) for e in story.executors)} calls")


main(test)
