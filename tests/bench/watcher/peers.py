#!/usr/bin/python3
"""From rename(2) or close(2) of a file until a line about it can be read from the watcher's output: `moddev watch`
beside `inotifywait -m` and `watchman` (subscribed, as its users do), whichever are installed, in one run and in
turns. moddev does more meanwhile: it proves the file finished, copies and hashes it, and records the epoch. Its line
comes through a thread of its own; "events socket" is what a client hears, which is told first: the announcement on the
wire, received here.
   peers.py MODDEV [--rounds N] [--kib 64]"""
import argparse
import importlib.util
import json
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


class Lines:
    """What a process prints, line by line, without buffering of our own getting in the way."""

    def __init__(self, command, stdin=None, environment=None):
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env=environment)
        self.descriptor = self.process.stdout.fileno()
        os.set_blocking(self.descriptor, False)
        self.rest = b""

    def wait(self, matches, patience=20.0):
        end = time.monotonic() + patience
        while True:
            *lines, self.rest = self.rest.split(b"\n")
            for line in lines:
                if matches(line):
                    return time.perf_counter()
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
                raise SystemExit(f"nothing came from {self.process.args[0]}")
            data = os.read(self.descriptor, 1 << 20)
            if not data:
                raise SystemExit(f"{self.process.args[0]} ended")
            self.rest += data

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Moddev:
    name = "moddev watch --json"

    def __init__(self, arguments, directory, state):
        environment = dict(os.environ, XDG_RUNTIME_DIR=state, XDG_STATE_HOME=state, XDG_CACHE_HOME=state)
        self.lines = Lines([arguments.moddev, "watch", directory, "--json"], environment=environment)
        self.lines.wait(lambda line: b"listening" in line)
        time.sleep(0.5)

    def wait(self, name):
        self.lines.wait(lambda line: b'"published"' in line and name.encode() in line)


class ModdevWire(Moddev):
    name = "moddev events socket"

    def __init__(self, arguments, directory, state):
        super().__init__(arguments, directory, state)
        import msgpack
        import zmq
        context = zmq.Context()
        requests = context.socket(zmq.DEALER)
        requests.connect(f"ipc://{state}/moddev/default.sock")
        requests.send_multipart([b"", msgpack.packb({"v": 1, "id": 1, "type": "hello", "software": "peers.py"})])
        hello = msgpack.unpackb(requests.recv_multipart()[1])
        self.events = context.socket(zmq.SUB)
        self.events.connect(hello["events_endpoint"])
        self.events.subscribe(b"moddev/1/")
        self.events.rcvtimeo = 20_000
        time.sleep(0.5)

    def wait(self, name):
        # The path is in the announcement as it is.
        while not any(name.encode() in frame for frame in self.events.recv_multipart()):
            pass


class InotifyWait:
    name = "inotifywait -m"

    def __init__(self, _arguments, directory, _state):
        self.lines = Lines(["inotifywait", "-m", "-q", "-e", "close_write,moved_to", "--format", "%f", directory])
        time.sleep(0.5)

    def wait(self, name):
        self.lines.wait(lambda line: line.decode() == name)


class Watchman:
    name = "watchman (subscription)"

    def __init__(self, _arguments, directory, state):
        environment = dict(os.environ, HOME=state)
        sock = os.path.join(state, "watchman.sock")
        self.server = subprocess.Popen(["watchman", "--foreground", "--sockname", sock, "--statefile",
                                        os.path.join(state, "watchman.state"), "--logfile",
                                        os.path.join(state, "watchman.log"), "--pidfile",
                                        os.path.join(state, "watchman.pid")], env=environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not os.path.exists(sock) and time.monotonic() < end:
            time.sleep(0.05)
        client = ["watchman", "--no-spawn", "--sockname", sock, "--no-pretty"]
        subprocess.run([*client, "watch", directory], env=environment, check=True, stdout=subprocess.DEVNULL)
        self.lines = Lines([*client, "--persistent", "-j"], stdin=subprocess.PIPE, environment=environment)
        subscription = ["subscribe", directory, "bench", {"fields": ["name"]}]
        self.lines.process.stdin.write(json.dumps(subscription).encode() + b"\n")
        self.lines.process.stdin.flush()
        self.lines.wait(lambda line: b'"subscribe"' in line)
        time.sleep(0.5)

    def wait(self, name):
        self.lines.wait(lambda line: b'"files"' in line and name.encode() in line)

    def stop(self):
        self.lines.stop()
        self.server.terminate()
        self.server.wait()


def measure(peer, directory, arguments, way):
    times = []
    for number in range(arguments.rounds):
        name = f"f{number % 4}.bin"
        content = os.urandom(arguments.kib * 1024)
        path = os.path.join(directory, name)
        if way == "rename":
            temporary = os.path.join(directory, ".mold-tmp")
            with open(temporary, "wb") as file:
                file.write(content)
            time.sleep(0.03)  # what the temporary causes is over
            start = time.perf_counter()
            os.rename(temporary, path)
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(descriptor, content)
            start = time.perf_counter()
            os.close(descriptor)
        peer.wait(name)
        times.append((time.perf_counter() - start) * 1e3)
        time.sleep(0.03)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("moddev")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--kib", type=int, default=64)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
          f"load {os.getloadavg()[0]:.1f}; {arguments.kib} KiB, {arguments.rounds} rounds")
    base_p50 = {}
    for make, program in ((InotifyWait, "inotifywait"), (Watchman, "watchman"), (Moddev, arguments.moddev),
                          (ModdevWire, arguments.moddev)):
        if shutil.which(program) is None:
            print(f"  {program} is not installed")
            continue
        if make is ModdevWire and not all(importlib.util.find_spec(name) for name in ("msgpack", "zmq")):
            print(f"  {make.name}: needs python3-zmq and python3-msgpack")
            continue
        with tempfile.TemporaryDirectory(prefix="moddev-peers-") as place:
            directory, state = os.path.join(place, "watched"), os.path.join(place, "state")
            os.mkdir(directory)
            os.mkdir(state, 0o700)
            peer = make(arguments, directory, state)
            for way in ("rename", "close"):
                times = sorted(measure(peer, directory, arguments, way))
                p50 = statistics.median(times)
                base_p50.setdefault(way, p50)
                print(f"  {make.name:26} {way + ' -> line':16} p50 {p50:8.3f} ms  p99 "
                      f"{times[int(len(times) * 0.99) - 1]:8.3f} ms  max {times[-1]:8.3f} ms  "
                      f"x{p50 / base_p50[way]:.2f}")
            peer.stop() if hasattr(peer, "stop") else peer.lines.stop()


if __name__ == "__main__":
    sys.exit(main())
