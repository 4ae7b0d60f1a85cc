"""What the source must keep to, as pure functions: a path and its text in, problems out.

The folders' duties and who may know whom are in DIRECTIONS; a third-party header may be included only in the files
that wrap its library. Formatting and clang-tidy are left to their tools; see check.
"""
import re
from fnmatch import fnmatch
from typing import Iterator, NamedTuple


class Problem(NamedTuple):
    path: str
    line: int  # 0: the whole file
    text: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.text}"


# folder: the folders of ours that it may include, besides itself.
DIRECTIONS = {
    "protocol": (),
    "watcher": ("protocol",),
    "daemon": ("protocol", "watcher"),
    "client": ("protocol",),
    "standalone": ("protocol", "watcher", "daemon", "client"),
    "tools": ("protocol", "watcher", "daemon", "client"),
    "tests": ("protocol", "watcher", "daemon", "client", "standalone", "tools"),
}

# Header of a library: the files that may include it. Everywhere else its types would leak out of the wrapper.
# Tests may include anything.
LIBRARIES = {
    "CLI/*": ("tools/*",),
    "boost/*": (),
    "dwarf.h": ("tools/moddev/debug_lines.cc",),
    "elfutils/*": ("tools/moddev/debug_lines.cc",),
    "gelf.h": ("protocol/*.cc",),
    "gmock/*": (),
    "gtest/*": (),
    "benchmark/*": (),
    "libelf.h": ("protocol/*.cc",),
    "msgpack.hpp": ("protocol/codec_*",),
    "nlohmann/*": ("tools/*",),
    "openssl/*": ("protocol/*.cc",),
    "sodium.h": ("protocol/*.cc",),
    "spdlog/*": ("daemon/*", "tools/*"),
    "sqlite3.h": ("client/results/sqlite*.cc", "daemon/journal*.cc", "daemon/sqlite*.cc"),
    "toml++/*": ("protocol/configuration.cc",),
    "urcu*": ("client/src/*",),
    "zmq.h": ("protocol/transport_key.cc", "client/src/zmq_link.cc", "daemon/zmq_*.cc", "daemon/zap*.cc"),
    "zmq.hpp": ("client/src/zmq_link.cc", "daemon/zmq_*.cc", "daemon/zap*.cc"),
    "zmq_addon.hpp": (),
    "zstd.h": ("protocol/*.cc",),
}
# Folders of angle-bracket headers that belong to the system.
SYSTEM_FOLDERS = ("sys/", "linux/", "arpa/", "netinet/", "bits/", "CoreServices/", "dispatch/", "mach-o/")

# The cores are state machines: they are told the time, return the next deadline, and never wait, so that a test and
# the simulation own their time. Only the files around them have threads, sockets and the event loop.
CORES = (
    "protocol/*",
    "watcher/*",
    "daemon/aftermath*",
    "daemon/catalog*",
    "daemon/daemon.*",
    "daemon/fleet*",
    "daemon/holds*",
    "daemon/journal*",
    "daemon/policy*",
    "daemon/rejoin*",
    "daemon/request_handler*",
    "daemon/retention*",
    "daemon/versioner*",
    "client/src/epochs*",
    "client/src/fetcher*",
    "client/src/last_epoch*",
    "client/src/requests*",
    "client/src/session*",
    "client/src/transaction*",
)
# Among them, but no part of a core: work that the blob store on disk, which waits for the disk anyway, does beside it.
BESIDE_CORES = ("protocol/background_hasher*",)
WAITING_HEADERS = ("condition_variable", "future", "poll.h", "semaphore", "sys/epoll.h", "thread")
SLEEPS = re.compile(r"\b(?:sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep)\s*\(|(?<![\w.])(?:::)?sleep\s*\(")

CLOCK_FILES = (
    "protocol/clock.cc",
    "watcher/posix_file_system.cc",  # the kernel's own coarse clock, to compare with its stamps on files
    "client/src/image_cache.cc",     # the age of a file that a dead process left
    "client/examples/*",
    "tests/*",
)
CLOCKS = re.compile(
    r"\b(?:steady_clock|system_clock|high_resolution_clock|file_clock)::now\b"
    r"|\b(?:clock_gettime|gettimeofday|timespec_get)\s*\("
    r"|(?<![\w.>])(?:std::|::)?time\s*\(\s*(?:nullptr|NULL|0|&)")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Line comments, and texts, so that a "sleep(" in a message is no call.
NOISE = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*')
UNFINISHED = re.compile(r"\b(?:TODO|FIXME)\b")


def matches(path: str, patterns) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def folder_of(path: str) -> str:
    return path.split("/", 1)[0]


def owner_of(header: str) -> str:
    """The folder of ours that an included header belongs to; empty for others' headers."""
    if header == "moddev/protocol/result.h":
        return "protocol"  # the one header that users and all folders share
    if header == "moddev/standalone.h":
        return "standalone"
    if header.startswith("moddev/"):
        return "client"
    first = folder_of(header)
    return first if first in DIRECTIONS and "/" in header else ""


def included(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1], match[2]


def check_directions(path: str, text: str) -> Iterator[Problem]:
    """Who includes whom, and no library outside its wrapper."""
    here = folder_of(path)
    public = path.startswith("client/include/")
    for line, bracket, header in included(text):
        owner = owner_of(header)
        if owner:
            if owner != here and owner not in DIRECTIONS[here]:
                may = ", ".join(DIRECTIONS[here]) or "nothing of ours"
                yield Problem(path, line, f"includes {header} of {owner}/, but {here}/ may include {may}")
            if public and not header.startswith("moddev/"):
                yield Problem(path, line, f"a public header may not need {header}, which is not installed")
            continue
        if bracket == '"':
            yield Problem(path, line, f'"{header}" is not a path from the root of the source; write it so')
            continue
        if here == "tests":
            continue
        wrapper = [files for pattern, files in LIBRARIES.items() if fnmatch(header, pattern)]
        if wrapper:
            if not matches(path, wrapper[0]):
                where = ", ".join(wrapper[0]) or "tests"
                yield Problem(path, line, f"<{header}> may be included only in {where}")
        elif "/" in header and not header.startswith(SYSTEM_FOLDERS):
            yield Problem(path, line, f"<{header}> belongs to a library that tools/style/rules.py does not know")


def check_time(path: str, text: str) -> Iterator[Problem]:
    """No clock outside the seam; no sleep and no waiting in a core."""
    core = matches(path, CORES) and not matches(path, BESIDE_CORES)
    for number, line in enumerate(text.splitlines(), 1):
        code = NOISE.sub("", line)
        if not matches(path, CLOCK_FILES) and CLOCKS.search(code):
            yield Problem(path, number, "reads a clock; take the time as an argument, or a Clock (protocol/clock.h)")
        if core and SLEEPS.search(code):
            yield Problem(path, number, "a core sleeps; return the next deadline instead")
    for number, bracket, header in included(text):
        if core and bracket == "<" and header in WAITING_HEADERS:
            yield Problem(path, number, f"<{header}> in a core; it may not wait, and has no thread of its own")


def check_shape(path: str, text: str) -> Iterator[Problem]:
    """A header says what it is for before anything else; nothing is left for later."""
    if path.endswith(".h"):
        if not text.startswith(("//", "/*")):
            yield Problem(path, 1, "a header opens with a comment: what it is for, and what it does not do")
        guard = re.search(r"\n#ifndef (\w+)\n#define \1\n", text)  # a header that C programs include as well
        if "\n#pragma once\n" not in text and not guard:
            yield Problem(path, 1, "a header needs #pragma once")
    for number, line in enumerate(text.splitlines(), 1):
        if match := UNFINISHED.search(line):
            yield Problem(path, number, f"{match[0]}: finish it, or file an issue")
        if line.endswith((" ", "\t", "\r")):
            yield Problem(path, number, "white space at the end of the line")
    if text and not text.endswith("\n"):
        yield Problem(path, text.count("\n") + 1, "the last line has no end")


def check_registered(sources, compiled, mentions: str) -> Iterator[Problem]:
    """Every source file is compiled by some target, or is named where a test compiles it itself."""
    for path in sources:
        if path not in compiled and path.rsplit("/", 1)[-1] not in mentions:
            yield Problem(path, 0, "belongs to no target: add it to the CMake file of its room")


def check_room_lists(lists, included_names) -> Iterator[Problem]:
    """Every tests/<kind>/<room>.cmake is read by tests/CMakeLists.txt."""
    for path in lists:
        _, kind, name = path.split("/")
        if (kind, name.removesuffix(".cmake")) not in included_names:
            yield Problem(path, 0, "is not included: add its kind or room to the lists in tests/CMakeLists.txt")


def included_lists(text: str):
    """The (kind, room) pairs of tests/CMakeLists.txt's two loops."""
    def words(variable: str):
        found = re.search(rf"foreach\({variable}\s+([^)]+)\)", text)
        return found[1].split() if found else []
    return {(kind, room) for kind in words("kind") for room in words("room")}


def check_quotes(path: str, text: str, read) -> Iterator[Problem]:
    """A block of documentation that says which file it shows must show that file as it is.

    The line before the block is <!-- FILE -->; `read` gives a file's text, or None.
    """
    for match in re.finditer(r"^<!-- (\S+) -->\n```[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        shown = read(match[1])
        if shown is None:
            yield Problem(path, line, f"shows {match[1]}, which is not there")
        elif shown.strip("\n") != match[2].strip("\n"):
            yield Problem(path, line, f"shows {match[1]} differently from what it is now")
