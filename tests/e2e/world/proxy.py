"""Proxies between executors and their daemon, one loopback address for each executor, so that each can be cut off.

An executor that connects to 127.0.1.N is forwarded to the same port of 127.0.0.1. Cut off, either nothing passes any
more while the connections stay (a cable that is pulled), or they are closed and new ones are refused (a firewall).
Nothing here interprets what passes.
"""
import contextlib
import pathlib
import selectors
import socket
import threading

PIECE = 65536
WAITING = 1 << 20  # bytes held for a side that does not read; beyond it the other one is not read either


def listening_ports(pid):
    """TCP ports of 127.0.0.1 on which this process listens."""
    inodes = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(link.readlink())
            if target.startswith("socket:["):
                inodes.add(target[len("socket:["):-1])
    ports = set()
    # ZeroMQ listens at IPv4 addresses by sockets of IPv6 as well.
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # TCP_LISTEN, include/net/tcp_states.h
                ports.add(int(fields[1].split(":")[1], 16))
    return sorted(ports)


class _Side:
    def __init__(self, end, owner):
        self.end = end
        self.owner = owner
        self.other = None
        self.waiting = b""  # to be written here


class Proxies:
    """One thread that forwards for all of them."""

    def __init__(self, ports):
        self.ports = ports
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._listeners = {}  # address -> sockets
        self._sides = {}      # address -> sides
        self._stalled = set()
        self._severed = set()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, address):
        """From now on this address forwards."""
        with self._lock:
            self._sides[address] = []
            self._listeners[address] = []
            for port in self.ports:
                listener = socket.create_server((address, port), backlog=16)
                listener.setblocking(False)
                self._listeners[address].append(listener)
                self._selector.register(listener, selectors.EVENT_READ, (address, port))

    def stall(self, address):
        with self._lock:
            self._stalled.add(address)
            self._watch_all(address)

    def sever(self, address):
        with self._lock:
            self._severed.add(address)
            for side in list(self._sides[address]):
                self._close(side)

    def heal(self, address):
        with self._lock:
            self._stalled.discard(address)
            self._severed.discard(address)
            self._watch_all(address)

    def end(self):
        self._ended = True
        self._thread.join(10)

    def _run(self):
        while not self._ended:
            for key, events in self._selector.select(0.02):
                with self._lock:
                    if isinstance(key.data, tuple):
                        self._accept(key.fileobj, *key.data)
                    elif key.data.end.fileno() >= 0:
                        self._move(key.data, events)

    def _accept(self, listener, address, port):
        with contextlib.suppress(OSError):
            near = listener.accept()[0]
            if address in self._severed:
                near.close()
                return
            try:
                far = socket.create_connection(("127.0.0.1", port), timeout=5)
            except OSError:
                near.close()
                return
            pair = [_Side(near, address), _Side(far, address)]
            pair[0].other, pair[1].other = pair[1], pair[0]
            for side in pair:
                side.end.setblocking(False)
                side.end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sides[address].append(side)
                self._selector.register(side.end, selectors.EVENT_READ, side)
            self._watch_all(address)

    def _watch_all(self, address):
        for side in list(self._sides[address]):
            self._watch(side)

    def _watch(self, side):
        events = 0
        if side.owner not in self._stalled:
            events |= selectors.EVENT_READ if len(side.other.waiting) < WAITING else 0
            events |= selectors.EVENT_WRITE if side.waiting else 0
        known = side.end.fileno() in self._selector.get_map()
        if events and known:
            self._selector.modify(side.end, events, side)
        elif events:
            self._selector.register(side.end, events, side)
        elif known:
            self._selector.unregister(side.end)

    def _move(self, side, events):
        if side.owner in self._stalled:
            return
        try:
            if events & selectors.EVENT_READ:
                piece = side.end.recv(PIECE)
                if not piece:
                    self._close(side)
                    return
                side.other.waiting += piece
                self._flush(side.other)
            if events & selectors.EVENT_WRITE:
                self._flush(side)
        except BlockingIOError:
            pass
        except OSError:
            self._close(side)
            return
        self._watch(side)
        self._watch(side.other)

    @staticmethod
    def _flush(side):
        with contextlib.suppress(BlockingIOError):
            if side.waiting:
                side.waiting = side.waiting[side.end.send(side.waiting):]

    def _close(self, side):
        for one in (side, side.other):
            if one.end.fileno() >= 0:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(one.end)
                one.end.close()
            if one in self._sides[one.owner]:
                self._sides[one.owner].remove(one)
