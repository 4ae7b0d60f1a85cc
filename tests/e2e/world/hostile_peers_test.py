#!/usr/bin/python3
"""Hostile peers at a real daemon, over plain sockets: what no ZeroMQ library would send. After each attack the daemon
has not grown by more than a bound, and an honest peer is served within a second. Prints one line for each."""
import os
import pathlib
import resource
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import zmtp  # noqa: E402
from fleet import Failed, Fleet, check, epochs_of, main, wait_for  # noqa: E402

MIB = 1 << 20
SOON = 1.0  # seconds, for an honest peer
DIGEST = b"\0" * 32
UUID = b"\1" * 16
NAMES = ["..", "../../evil", "/etc/passwd", "a/../../b", "a\\..\\b", "a//b", ".", "a\0b", "x" * 256, "x" * 100_000,
         "\x1b[31mred", zmtp.Raw(b"\xff\xfe"), ""]


def rss_of(process):
    """In bytes."""
    status = pathlib.Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def no_more_than_a_machine_has():
    """So that what is not bounded ends the daemon, and not whatever else runs here."""
    resource.setrlimit(resource.RLIMIT_AS, (4096 * MIB, 4096 * MIB))


class Arena:
    def __init__(self, fleet, watch):
        self.fleet, self.watch = fleet, watch
        wait_for(lambda: len(watch.of("listening")) == 2, "both endpoints")
        self.ipc, self.tcp = sorted(event["endpoint"] for event in watch.of("listening"))
        self.events = self.told_events()

    def told_events(self):
        stream = zmtp.connected(self.tcp)
        stream.sendall(zmtp.request("hello", software="test"))
        message = zmtp.read_message(stream)[-1]
        stream.close()
        port = message.split(b"tcp://*:")[1][:5]
        digits = bytes(byte for byte in port if chr(byte).isdigit())
        return f"tcp://127.0.0.1:{digits.decode()}"

    def serves_soon(self):
        """An honest peer, through a new connection."""
        begin = time.monotonic()
        stream = zmtp.connected(self.tcp, timeout=10)
        stream.sendall(zmtp.request("status"))
        reply = zmtp.read_message(stream)[-1]
        stream.close()
        check(b"committed_epoch" in reply, f"status was answered with {reply[:100]!r}")
        return time.monotonic() - begin

    def attack(self, name, action, growth=32 * MIB):
        before = rss_of(self.watch)
        most = [before]
        over = threading.Event()

        def look():
            while not over.wait(0.01):
                most[0] = max(most[0], rss_of(self.watch))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            told = action() or ""
            took = self.serves_soon()
        finally:
            over.set()
            looking.join()
        check(took < SOON, f"{name}: an honest peer waited for {took:.2f} s")
        check(most[0] - before < growth, f"{name}: the daemon grew by {(most[0] - before) / MIB:.0f} MiB")
        self.watch.check_alive()
        print(f"{name}: an honest peer served in {took * 1000:.0f} ms, the daemon grew by "
              f"{max(0, most[0] - before) / MIB:.1f} MiB{told}")


def garbage_greetings(arena):
    noises = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), b"\0" * 5000,
              b"\xff" * 5000, b"\xff" + bytes(8) + b"\x7f", zmtp.greeting(b"CURVE"), zmtp.greeting(b"PLAIN"),
              zmtp.greeting(b"GSSAPI"), zmtp.greeting(version=(9, 9)), zmtp.greeting()[:63], os.urandom(4096)]
    streams = []
    for endpoint in (arena.tcp, arena.ipc, arena.events):
        for noise in noises:
            stream = zmtp.plain(endpoint)
            try:
                stream.sendall(noise)
            except ConnectionError:
                pass  # it was faster
            streams.append(stream)
    for kind in ("PUSH", "PAIR", "x" * 200):
        stream = zmtp.plain(arena.tcp)
        stream.sendall(zmtp.greeting() + zmtp.ready(Socket_Type=kind))
        streams.append(stream)
    check(all(zmtp.hung_up(stream) for stream in streams), "each is hung up on")


def half_open_crowd(arena, count=400):
    began = time.monotonic()
    silent = [zmtp.plain(arena.tcp) for _ in range(count // 2)]
    silent += [zmtp.plain(arena.events) for _ in range(count // 2)]
    for stream in silent[::2]:
        stream.sendall(zmtp.greeting()[:11])
    took = arena.serves_soon()
    check(took < SOON, f"beside {count} silent ones an honest peer waited for {took:.2f} s")
    check(all(zmtp.hung_up(stream) for stream in silent), "who says nothing is let go")
    return f"; {count} silent ones let go after {time.monotonic() - began:.1f} s"


def huge_declared_sizes(arena):
    for endpoint, kind in ((arena.tcp, "DEALER"), (arena.ipc, "DEALER"), (arena.events, "SUB")):
        for size in (1 << 62, (1 << 63) - 1, (1 << 64) - 1, 32 * MIB + 1):
            for flags in (0, zmtp.MORE, zmtp.COMMAND):
                stream = zmtp.connected(endpoint, kind)
                stream.sendall(zmtp.header(size, flags))
                check(zmtp.hung_up(stream), f"a frame of {size} bytes, flags {flags}, at {endpoint}")


def endless_message(arena, endpoint, kind, size, most):
    """Parts without end, as far as `most` bytes. The daemon hangs up before it has swallowed them."""
    stream = zmtp.connected(endpoint, kind)
    part = zmtp.frame(b"x" * size, zmtp.MORE)
    block = part * max(1, MIB // len(part))
    sent = 0
    try:
        while sent < most:
            stream.sendall(block)
            sent += len(block)
    except (ConnectionError, TimeoutError):
        return f"; cut off after {sent / MIB:.0f} MiB"
    raise Failed(f"{sent / MIB:.0f} MiB of one message were taken in")


def unfinished_crowd(arena, count=8):
    """Each one stays below what one may have, together they do not."""
    streams, cut = [], 0
    for _ in range(count):
        stream = zmtp.connected(arena.tcp)
        try:
            stream.sendall(zmtp.frame(b"x" * 65_000, zmtp.MORE) * 80)
        except ConnectionError:
            cut += 1
            continue
        stream.setblocking(False)
        streams.append(stream)

    def is_open(stream):
        try:
            return stream.recv(1 << 16) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
    wait_for(lambda: cut or not all(map(is_open, streams)), "some are cut off")
    left = sum(map(is_open, streams))
    check(left > 0, "and not all")
    return f"; {count - left} of {count} cut off"


def subscriptions(arena):
    stream = zmtp.connected(arena.events, "SUB")
    for number in range(64):
        stream.sendall(zmtp.frame(b"\x01topic %d" % number))
    stream.sendall(zmtp.frame(b"\x01moddev/1/heartbeat"))
    check(zmtp.hung_up(stream), "the subscription after the 64th ends the connection")
    stream = zmtp.connected(arena.events, "SUB")
    stream.sendall(zmtp.frame(b"\x01" + b"x" * 1024))
    check(zmtp.hung_up(stream), "a subscription of 1,025 bytes ends the connection")
    stream = zmtp.connected(arena.events, "SUB")
    stream.sendall(zmtp.frame(b"\x01" + b"x" * 1022) + zmtp.frame(b"\x01moddev/1/heartbeat"))
    check(zmtp.read_message(stream)[0] == b"moddev/1/heartbeat", "one within the limits is heard")
    stream.close()
    wait_for(lambda: any("kSubscriptionsPerPeer" in warning["message"] for warning in arena.watch.of("warning")),
             "the owner is told")


def slow_reader(arena):
    """Asks for a gigabyte and reads nothing."""
    digest = next(bytes.fromhex(module["digest"].split(":")[1]) for module in arena.fleet.status()["modules"]
                  if module["name"] == "large.bin")
    stream = zmtp.connected(arena.tcp)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(1000):
        stream.sendall(zmtp.request("blob", digest=digest, offset=0, length=MIB))
    for _ in range(3):
        check(arena.serves_soon() < SOON, "beside it an honest peer waits")
    stream.close()


def deaf_subscriber(arena):
    stream = zmtp.connected(arena.events, "SUB")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream.sendall(zmtp.frame(b"\x01moddev/1/"))
    for answer in range(100, 130):
        arena.fleet.rename_into_place(answer)
        check(arena.fleet.run("refresh").returncode == 0, "refresh")
    stream.close()


def claims(arena):
    """A peer says itself who it is. Nobody asked."""
    if os.geteuid() != 0:
        return "; not tried as another user: needs root"
    script = (f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import zmtp\n"
              "for claim in ('ipc', 'loopback', 'you', 'user', ''):\n"
              f"    stream = zmtp.connected({arena.tcp!r}, User_Id=claim, Peer_Address='localhost:0:0:1')\n"
              "    stream.sendall(zmtp.request('status'))\n"
              "    reply = zmtp.read_message(stream)[-1]\n"
              "    assert b'permission' in reply and b'committed_epoch' not in reply, reply\n")
    here = pathlib.Path(__file__).parent
    copy = arena.fleet.root / "claims"
    copy.mkdir()
    copy.chmod(0o755)
    arena.fleet.root.chmod(0o755)
    (copy / "zmtp.py").write_text((here / "zmtp.py").read_text())
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c",
                           script.replace(str(here), str(copy))], capture_output=True, text=True, timeout=60)
    arena.fleet.root.chmod(0o700)
    check(done.returncode == 0, f"as nobody with claims: {done.stderr[-500:]}")
    return "; another user is refused whatever it claims"


def replays(arena):
    """What an honest peer once said, again and again."""
    (arena.fleet.directory / "large.bin").write_bytes(os.urandom(2 * MIB))
    check(arena.fleet.run("refresh").returncode == 0, "refresh")
    ask = zmtp.request("rollback", module="large.bin", to=1, key=b"r" * 16)
    recorded = zmtp.greeting() + zmtp.ready(Socket_Type="DEALER") + ask
    before = arena.fleet.status()["epoch"]
    for _ in range(100):
        stream = zmtp.plain(arena.tcp)
        stream.sendall(recorded)
        stream.close()
    # In one block it is no handshake to libzmq, which waits for ZAP in between. So in the pace of a real one, too.
    answers = set()
    for _ in range(20):
        stream = zmtp.connected(arena.tcp)
        stream.sendall(ask)
        answers.add(zmtp.read_message(stream)[-1])
        stream.close()
    check(len(answers) == 1, f"each repetition has the same answer: {answers}")
    check(arena.fleet.status()["epoch"] == before + 1, "a repetition is carried out once")


def wrong_names(arena):
    executor = {"id": UUID, "name": "w", "host": "h", "pid": 1}
    stream = zmtp.connected(arena.tcp)
    asked = answered = 0
    for name in NAMES:
        for words in ({"kind": "module", "name": name},
                      {"kind": "history", "module": name},
                      {"kind": "rollback", "module": name, "to": 1, "key": UUID},
                      {"kind": "hello", "software": name},
                      {"kind": "join", "executor": {**executor, "name": name}, "repo": bytes(16), "epoch": 0},
                      {"kind": "join", "executor": {**executor, "host": name}, "repo": bytes(16), "epoch": 0},
                      {"kind": "alive", "executor": UUID, "state": "live", "epoch": 0, "pins": [], "notes": [name]},
                      {"kind": "ack", "executor": UUID, "epoch": 1, "phase": "failed", "elapsed_us": 1,
                       "failures": [{"module": name, "error": name}]}):
            stream.sendall(zmtp.request(**words))
            asked += 1
            reply = zmtp.read_message(stream)[-1]
            answered += 1
            check(b"root:" not in reply, f"{words} was answered with {reply[:200]!r}")
    stream.sendall(zmtp.request("leave", executor=UUID))
    stream.close()
    check(asked == answered, "each is answered")
    check(not (arena.fleet.root / "evil").exists(), "nothing is written elsewhere")
    wait_for(lambda: any("was dropped" in warning["message"] for warning in arena.watch.of("warning")),
             "the owner is told")
    return f"; {answered} requests answered"


def test(arguments):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    with Fleet(arguments.moddev, arguments.compiler) as fleet:
        fleet.rename_into_place(1)
        (fleet.directory / "large.bin").write_bytes(os.urandom(2 * MIB))
        watch = fleet.watch("--bind", f"ipc://{fleet.root}/run/moddev/default.sock", "--bind", "tcp://127.0.0.1:*",
                            preexec=no_more_than_a_machine_has)
        executor = fleet.executor("worker", every=20)
        executor.wait_event("called", lambda event: event["result"] == 1)
        arena = Arena(fleet, watch)
        arena.attack("garbage greetings", lambda: garbage_greetings(arena))
        arena.attack("half-open crowd", lambda: half_open_crowd(arena))
        arena.attack("huge declared sizes", lambda: huge_declared_sizes(arena))
        arena.attack("subscriptions", lambda: subscriptions(arena))
        arena.attack("names", lambda: wrong_names(arena), growth=64 * MIB)
        arena.attack("claims", lambda: claims(arena))
        arena.attack("replays", lambda: replays(arena))
        # 64 replies of 1 MiB wait for a peer, and as many may be on their way.
        arena.attack("slow reader", lambda: slow_reader(arena), growth=192 * MIB)
        arena.attack("deaf subscriber", lambda: deaf_subscriber(arena))
        # libzmq needs 64 bytes for the smallest part, which is 3 bytes on the wire.
        for size, most in ((1, 64 * MIB), (1000, 1024 * MIB), (MIB, 2048 * MIB)):
            arena.attack(f"endless message of {size} byte parts",
                         lambda size=size, most=most: endless_message(arena, arena.tcp, "DEALER", size, most),
                         growth=800 * MIB)
        arena.attack("unfinished messages together", lambda: unfinished_crowd(arena), growth=800 * MIB)
        arena.attack("endless subscription", lambda: endless_message(arena, arena.events, "SUB", 900, 1024 * MIB),
                     growth=800 * MIB)
        wait_for(lambda: any("without an end" in warning["message"] for warning in watch.of("warning")),
                 "the owner is told")
        wait_for(lambda: "without an end" in fleet.run("audit", "--last", "1000").stdout, "and finds it in the audit")
        check(executor.last("stale") is None, f"the executor noticed: {executor.events()}")
        fleet.rename_into_place(2)
        executor.wait_event("called", lambda event: event["result"] == 2)


if __name__ == "__main__":
    main(test)
