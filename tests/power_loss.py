"""Power loss: what a disk may hold at any instant of a daemon's life, made from its system calls.

A file's content is sure once it was synced; of what was written since then, a disk may have
any part, in any order, and the last sector torn. A file's name is sure once its directory
was synced.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.processes import Line

SECTOR = 512
CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,rename"
_CALL = re.compile(
    r"(?P<at>[\d.]+) (?P<name>\w+)"
    r'\((?:(?:AT_FDCWD(?:<[^>]*>)?, )?"(?P<path>[^"]*)"|\d+<(?P<open>[^>]*)>)'
    r"(?:, (?P<rest>.*))?\) += (?P<result>-?\d+)"
)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def traced(trace: Path) -> tuple[object, ...]:
    """A command to run a driver `under`; it leaves a file TRACE.THREAD for each thread."""
    return (
        "strace", "-ff", "-q", "-y", "-ttt", "-xx", "-s", "16777216", "-o", trace,
        "-e", f"trace={CALLS}",
    )  # fmt: skip


class Call(NamedTuple):
    """One system call on a file: write, sync, truncate, unlink, create, rename; or what was told.

    content: of a rename the new path.
    """

    at: float
    kind: str
    path: str
    offset: int = 0
    content: bytes = b""


def calls_of(trace: Path, directory: Path) -> list[Call]:
    """Every call on a file of the directory, and every line told on stdout, in order of time."""
    found = []
    for path in trace.parent.glob(f"{trace.name}.*"):
        for line in path.read_text("latin-1").splitlines():
            call = _read(line, str(directory.resolve()))
            if call is not None:
                found.append(call)
    return sorted(found, key=lambda call: call.at)


def _read(line: str, directory: str) -> Call | None:
    match = _CALL.match(line)
    if match is None or int(match["result"]) < 0:
        return None
    at, name, rest = float(match["at"]), match["name"], match["rest"] or ""
    path = _plain(match["path"] if match["path"] is not None else match["open"])
    if name == "write" and line.split("(", 1)[1].startswith("1<"):
        return Call(at, "told", "", 0, _content(rest))
    if not path.startswith(directory):
        return None
    path = path[len(directory) :].lstrip("/")
    if "/" in path:  # logs
        return None
    if name == "openat":
        return Call(at, "create", path) if "O_CREAT" in rest else None
    if name == "rename":
        return Call(at, "rename", path, 0, _content(rest)[len(directory) + 1 :])
    if name == "write":  # a file that is written once, from its beginning
        return Call(at, "write", path, 0, _content(rest))
    if name == "pwrite64":
        return Call(at, "write", path, int(rest.rsplit(", ", 1)[1]), _content(rest))
    if name == "ftruncate":
        return Call(at, "truncate", path, int(rest))
    return Call(at, {"fsync": "sync", "fdatasync": "sync"}.get(name, name), path)


def _plain(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def _content(rest: str) -> bytes:
    match = _TEXT.search(rest)
    assert match is not None, rest[:80]
    return bytes.fromhex(match[1].replace("\\x", ""))


@dataclass
class File:
    """sure: on the disk, whatever happens. since: what was asked of the disk after that."""

    sure: bytearray = field(default_factory=bytearray)
    since: list[Call] = field(default_factory=list)
    named: bool = False  # its directory entry is on the disk
    gone: bool = False  # unlinked, and the directory not synced since

    def sync(self) -> None:
        for call in self.since:
            _do(self.sure, call)
        self.since = []


def _do(content: bytearray, call: Call) -> None:
    if call.kind == "truncate":
        del content[call.offset :]
        content.extend(bytes(call.offset - len(content)))
    else:
        content.extend(bytes(max(0, call.offset - len(content))))
        content[call.offset : call.offset + len(call.content)] = call.content


class Disk:
    """The files of one directory, call after call."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}

    def take(self, call: Call) -> None:
        if call.kind == "create":
            self.files.setdefault(call.path, File())
        elif call.kind == "rename" and call.path in self.files:
            renamed = self.files[call.content.decode()] = self.files.pop(call.path)
            renamed.named = False
        elif call.kind == "sync" and not call.path:  # the directory
            self.files = {path: file for path, file in self.files.items() if not file.gone}
            for file in self.files.values():
                file.named = True
        elif call.path in self.files:
            file = self.files[call.path]
            if call.kind == "sync":
                file.sync()
            elif call.kind == "unlink":
                file.gone = True
            else:
                file.since.append(call)

    def image(self, directory: Path, chance: Random) -> None:
        """What a power loss now may leave, written into an empty directory."""
        for path, file in self.files.items():
            if (not file.named and chance.random() < 0.5) or (file.gone and chance.random() < 0.5):
                continue
            content = bytearray(file.sure)
            for call in _kept(file.since, chance):
                _do(content, call)
            (directory / path).write_bytes(content)


def _kept(calls: list[Call], chance: Random) -> Iterable[Call]:
    """Those of some calls that reached the disk: none, the first, all, or any, in any order."""
    how = chance.randrange(4)
    if how == 0:
        return []
    if how == 1:
        kept = calls[: chance.randint(0, len(calls))]
    elif how == 2:
        kept = list(calls)
    else:
        kept = [call for call in calls if chance.random() < 0.5]
        chance.shuffle(kept)
    if kept and kept[-1].content and chance.random() < 0.5:  # torn
        sectors = -(-len(kept[-1].content) // SECTOR)
        size = SECTOR * chance.randint(0, sectors)
        kept[-1] = kept[-1]._replace(content=kept[-1].content[:size])
    return kept


def told_by(calls: Iterable[Call]) -> list[Line]:
    """The lines that were told by then."""
    text = b"".join(call.content for call in calls if call.kind == "told")
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
