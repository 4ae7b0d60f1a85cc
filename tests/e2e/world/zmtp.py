"""ZMTP 3.0 (ZeroMQ RFC 23) by hand, over a plain socket: what no library would send. And msgpack, as much as a request
needs. For the tests of hostile peers."""
import socket
import struct

MORE, LONG, COMMAND = 1, 2, 4


def greeting(mechanism=b"NULL", version=(3, 0), server=False):
    return (b"\xff" + bytes(8) + b"\x7f" + bytes(version) + mechanism.ljust(20, b"\0") + bytes([server]) + bytes(31))


def frame(body, flags=0):
    if len(body) > 255:
        return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body
    return bytes([flags, len(body)]) + body


def header(size, flags=0):
    """Of a frame that declares `size` bytes."""
    return bytes([flags | LONG]) + struct.pack(">Q", size)


def ready(**properties):
    """The command that ends the handshake; Socket_Type="DEALER" and whatever else a peer may claim."""
    body = b"\x05READY"
    for name, value in properties.items():
        name, value = name.replace("_", "-").encode(), value if isinstance(value, bytes) else value.encode()
        body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return frame(body, COMMAND)


def address_of(endpoint):
    scheme, rest = endpoint.split("://", 1)
    if scheme == "ipc":
        return socket.AF_UNIX, rest
    host, port = rest.rsplit(":", 1)
    return socket.AF_INET, (host, int(port))


def plain(endpoint, timeout=20):
    family, address = address_of(endpoint)
    stream = socket.socket(family)
    stream.settimeout(timeout)
    stream.connect(address)
    return stream


def read_exactly(stream, size):
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise ConnectionError("hung up on")
        data += piece
    return data


def read_frame(stream):
    """(flags, body)"""
    flags, = read_exactly(stream, 1)
    size, = struct.unpack(">Q", read_exactly(stream, 8)) if flags & LONG else read_exactly(stream, 1)
    return flags, read_exactly(stream, size)


def read_message(stream):
    """The frames of the next message; commands are passed over."""
    frames = []
    while True:
        flags, body = read_frame(stream)
        if flags & COMMAND:
            continue
        frames.append(body)
        if not flags & MORE:
            return frames


def connected(endpoint, kind="DEALER", timeout=20, **claims):
    """A peer whose handshake is done."""
    stream = plain(endpoint, timeout)
    stream.sendall(greeting())
    read_exactly(stream, 64)
    stream.sendall(ready(Socket_Type=kind, **claims))
    flags, body = read_frame(stream)
    if not flags & COMMAND or not body.startswith(b"\x05READY"):
        raise ConnectionError(f"{body!r} instead of READY")
    return stream


def hung_up(stream, timeout=20):
    """Whether the other side closes, whatever it says before."""
    stream.settimeout(timeout)
    try:
        while stream.recv(1 << 16):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, Packed):
        return value.data
    if isinstance(value, Raw):
        return b"\xdb" + struct.pack(">I", len(value.text)) + value.text
    if isinstance(value, str):
        return pack(Raw(value.encode()))
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())


class Raw:
    """A text of any bytes."""

    def __init__(self, text):
        self.text = text


class Packed:
    """A value that was packed before."""

    def __init__(self, data):
        self.data = data


def request(kind, **more):
    """The frames of a request as a DEALER sends them."""
    return frame(b"", MORE) + frame(pack({"v": 1, "id": 7, "type": kind, **more}))
