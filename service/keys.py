"""API keys: whose requests are answered and what they may do, from a file that has the keys' digests only.

The file has one key a line, `id role sha256`; `#` begins a comment. The digest needs no salt and may be a fast one,
because a key that is made here is random and too long to be guessed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import structlog
from fastapi import Request, Security
from fastapi.security import HTTPBearer

from service.errors import ForbiddenError, StartupError
from service.fields import ID_PATTERN

Role = Literal["read", "write"]
"""`read` extracts and reads; `write` also changes the registry."""

_DIGEST = re.compile("[0-9a-fA-F]{64}")
_LINE = "a line is `id role sha256`, as `emma keys add` writes it"

log = structlog.get_logger("service")

asks_for_key = Security(
    HTTPBearer(
        scheme_name="key",
        description="A key of the service, where it asks for keys. One with the role `read` may not change relations.",
        auto_error=False,
    )
)
"""Tells OpenAPI that a route asks for a key; what asks is `service.middleware.Authenticate`."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key: `id` is who the history says it was, `digest` in hexadecimal."""

    id: str
    role: Role
    digest: str


class Keys:
    """The keys of a file, as they were when it was last read."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            StartupError: it cannot be read, or has a fault.
        """
        self._path = path
        self._keys = _by_digest(path)

    def find(self, key: bytes) -> ApiKey | None:
        """The key, None where it is unknown.

        How long this takes depends on the digest, which nobody can choose who guesses at a key: it tells nothing.
        """
        return self._keys.get(digest(key))

    def reread(self) -> None:
        """Read the file again; where that cannot be done, say so and go on with the keys that there are."""
        try:
            self._keys = _by_digest(self._path)
        except StartupError as error:
            log.error("API keys not read again", reason=str(error), effect="those read before hold")


async def may_write(request: Request) -> None:
    """Refuse a request whose key may not change the registry.

    A coroutine, although it waits for nothing: the framework would call a function in a thread.

    Raises:
        ForbiddenError: its key is one to read with.
    """
    # No key is asked for where no role is known.
    if getattr(request.state, "role", "write") != "write":
        raise ForbiddenError(
            f"the key {request.state.actor!r} may read only, and this changes relations: use one with the role write"
        )


def digest(key: bytes) -> str:
    """What the file has of a key.

    >>> digest(b"key")
    '2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683'
    """
    return hashlib.sha256(key).hexdigest()


def read(path: Path) -> list[ApiKey]:
    """The keys of a file.

    Raises:
        StartupError: it cannot be read, or has a fault.
    """
    return list(_parse(path, _text(path)).values())


def add(path: Path, key_id: str, role: Role) -> str:
    """Add a new key to a file, which is made where there is none; the key, which is kept nowhere.

    Raises:
        StartupError: the id is taken or none, or the file cannot be read or written, or has a fault.
    """
    if not re.fullmatch(ID_PATTERN, key_id):
        raise StartupError(f"{key_id!r} is no id of a key: it has to match {ID_PATTERN}")
    with _edited(path):
        text = _text(path) if path.exists() else ""
        if key_id in {known.id for known in _parse(path, text).values()}:
            raise StartupError(
                f"{path} has a key {key_id!r} already: take another id, or remove that one with `emma keys remove`"
            )
        # What it begins with tells what it is for, also to whoever finds it where it should not be.
        key = f"emma_{secrets.token_urlsafe(32)}"
        before = text if text.endswith("\n") or not text else f"{text}\n"
        _replace(path, f"{before}{key_id} {role} {digest(key.encode())}\n")
    return key


def remove(path: Path, key_id: str) -> None:
    """Take a key out of a file.

    Raises:
        StartupError: it has no such key, or cannot be read or written, or has a fault.
    """
    with _edited(path):
        text = _text(path)
        known = {key.id: number for number, key in _parse(path, text).items()}
        if key_id not in known:
            raise StartupError(f"{path} has no key {key_id!r}; `emma keys list` shows those that it has")
        _replace(path, "\n".join(line for number, line in _lines(text) if number != known[key_id]))


def _by_digest(path: Path) -> dict[str, ApiKey]:
    keys = read(path)
    log.info("API keys read", file=str(path), keys=len(keys))
    return {key.digest: key for key in keys}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StartupError(f"the file of API keys {path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise StartupError(
            f"cannot read the file of API keys {path}: {error.strerror or error}; point EMMA_API_KEYS_FILE at one that "
            "this user may read, `emma keys add` makes one"
        ) from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.split("\n"), start=1)


def _parse(path: Path, text: str) -> dict[int, ApiKey]:
    """The keys by the number of their line."""
    keys: dict[int, ApiKey] = {}
    ids: dict[str, int] = {}
    digests: dict[str, int] = {}
    for number, line in _lines(text):
        words = line.partition("#")[0].split()
        if not words:
            continue
        # No message repeats a word of the line: any of them may be a key that was put there by mistake.
        fault = _fault(words)
        if fault is None and ids.setdefault(words[0], number) != number:
            fault = f"its id is that of line {ids[words[0]]}, too: give each key an id of its own"
        if fault is None and digests.setdefault(words[2].lower(), number) != number:
            fault = f"its digest is that of line {digests[words[2].lower()]}, too: make each its own key"
        if fault is not None:
            raise StartupError(f"{path}, line {number}: {fault}; {_LINE}")
        keys[number] = ApiKey(words[0], cast(Role, words[1]), words[2].lower())
    return keys


def _fault(words: list[str]) -> str | None:
    if len(words) != 3:
        return f"it has {len(words)} words in place of 3"
    key_id, role, hexadecimal = words
    if not re.fullmatch(ID_PATTERN, key_id):
        return f"its first word is no id, which has to match {ID_PATTERN}"
    if role not in get_args(Role):
        return f"its second word is no role, which is one of {', '.join(get_args(Role))}"
    if not _DIGEST.fullmatch(hexadecimal):
        return "its third word is no SHA-256, which has 64 hexadecimal digits; a key itself does not belong here"
    return None


@contextmanager
def _edited(path: Path) -> Iterator[None]:
    """Keep others from editing the file at the same time: what one of them adds would be lost."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
    except OSError as error:
        raise StartupError(
            f"cannot write the file of API keys {path}: {error.strerror or error}; name one in a directory that is "
            "there and that this user may write"
        ) from error


def _replace(path: Path, text: str) -> None:
    """Write the whole file or nothing of it, readable by its owner alone."""
    # A link stays a link.
    path = path.resolve()
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            if path.exists():
                # Edited by root, it would otherwise be root's, and the service could not read it any more.
                os.fchown(descriptor, path.stat().st_uid, -1)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
