#!/usr/bin/python3
"""Follows a moddev daemon: a client in another language, written from protocol/PROTOCOL.md alone.

follow.py ENDPOINT [--until-epoch N] [--timeout SECONDS] [--curve DAEMON_KEY SECRET_FILE]
Prints {"epoch": E, "modules": {name: version}} for each committed epoch whose bytes it has fetched and checked.
Exit code 0: epoch N is reached; 1: it was not reached in time, or the daemon broke the protocol."""
import argparse
import contextlib
import hashlib
import json
import sys
import time

import msgpack
import zmq
import zmq.auth


class Follower:
    def __init__(self, endpoint, timeout, curve=None):
        # The daemon's public key, and the two of our own.
        self.curve = curve and [curve[0].encode(), *zmq.auth.load_certificate(curve[1])]
        self.context, self.endpoint, self.deadline = zmq.Context(), endpoint, time.monotonic() + timeout
        self.requests = self.events = self.daemon = None
        self.ids, self.seq, self.epoch, self.checked = 0, 0, 0, set()

    def open(self, kind, endpoint):
        socket = self.context.socket(kind)
        socket.linger, socket.maxmsgsize = 0, 32 << 20
        if self.curve:
            socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = self.curve
        socket.connect(endpoint)
        return socket

    def ask(self, kind, **fields):
        """The reply's header and payload. What is not answered within a second is asked again, with a new id."""
        while time.monotonic() < self.deadline:
            self.ids += 1
            with contextlib.suppress(zmq.Again):  # a connection that was refused takes nothing
                self.requests.send_multipart(
                    [b"", msgpack.packb({"v": 1, "id": self.ids, "type": kind, **fields})], zmq.NOBLOCK)
            until = time.monotonic() + 1
            while self.requests.poll(max(0, int((until - time.monotonic()) * 1000))):
                _, packed, *payload = self.requests.recv_multipart()
                header = msgpack.unpackb(packed)
                if header["id"] != self.ids:
                    continue  # late, and given up already
                if header["type"] == "error" and header.get("retry_after_ms", 0) > 0:
                    time.sleep(min(header["retry_after_ms"] / 1000, max(0, self.deadline - time.monotonic())))
                    break  # busy
                if header["type"] == "error":
                    raise SystemExit(f"follow: {header['code']}: {header['message']}")
                return header, b"".join(payload)
        raise SystemExit(f"follow: no answer to '{kind}' in time")

    def connect(self):
        for socket in filter(None, (self.requests, self.events)):
            socket.close()
        self.requests = self.open(zmq.DEALER, self.endpoint)
        hello, _ = self.ask("hello", software="follow.py")
        host = self.endpoint.removeprefix("tcp://").rpartition(":")[0]
        self.events = self.open(zmq.SUB, hello["events_endpoint"].replace("*", host))
        self.events.subscribe(b"moddev/1/")
        self.lease_ms = hello["lease_ms"]
        self.snapshot()

    def fetch(self, module):
        data = b""
        while len(data) < module["size"]:
            data += self.ask("blob", digest=module["digest"], offset=len(data), length=1 << 20)[1]
        if hashlib.sha256(data).digest() != module["digest"]:
            raise SystemExit(f"follow: wrong bytes for {module['name']}")
        self.checked.add(module["digest"])

    def snapshot(self):
        header, _ = self.ask("snapshot")
        manifest, self.seq = header["committed"], header["seq"]
        if self.daemon and self.daemon[0] != header["repo"]:
            self.epoch = 0  # another history: its numbers mean something else
        self.daemon = header["repo"], header["incarnation"]
        if manifest["epoch"] > self.epoch:
            for module in manifest["modules"]:
                if module["digest"] not in self.checked:
                    self.fetch(module)
            self.epoch = manifest["epoch"]
            versions = {module["name"]: module["version"] for module in manifest["modules"]}
            print(json.dumps({"epoch": self.epoch, "modules": versions}), flush=True)

    def follow(self, until):
        self.connect()
        while self.epoch < until and time.monotonic() < self.deadline:
            if not self.events.poll(self.lease_ms):
                self.connect()  # silent for a lease
                continue
            event = msgpack.unpackb(self.events.recv_multipart()[1])
            if (event["repo"], event["incarnation"]) != self.daemon:
                self.connect()
            elif event["seq"] > self.seq + (event["type"] == "announce"):
                self.snapshot()  # a commit, an abort, or something that was lost
            self.seq = max(self.seq, event["seq"])
        return 0 if self.epoch >= until else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--until-epoch", type=int, default=1 << 63)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--curve", nargs=2)
    options = parser.parse_args()
    sys.exit(Follower(options.endpoint, options.timeout, options.curve).follow(options.until_epoch))
