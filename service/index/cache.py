"""Bases kept in files for the next start: a cache, made again whenever anything about it is in doubt."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from service.index.segment import Base, Stamps

FORMAT = 1
MANIFEST = "manifest.json"

log = structlog.get_logger("service")


@dataclass(frozen=True, slots=True)
class Cached:
    """A base that was kept.

    Attributes:
        base: its numbers count from 0.
        stamps: of the relation of each number, 0 where there is none any more.
        version: of the registry whose relations it has.
    """

    base: Base
    stamps: Stamps
    version: int


class Cache:
    """One base in a directory: two files named after what is in them, and a manifest that says which they are."""

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        """Name the place; nothing is read or written yet.

        Args:
            folder: made when it is missing; None keeps nothing.
            fingerprint: of the encoder that the vectors are from.
        """
        self._folder = folder
        self._fingerprint = fingerprint
        self._vectors = 0

    def outgrown(self, vectors: int) -> bool:
        """Whether a base of as many vectors is to be kept in place of the one that is: writing it takes seconds."""
        return self._folder is not None and 10 * vectors > 11 * self._vectors

    def save(self, base: Base, stamps: Stamps, version: int) -> None:
        """Keep a base; that it cannot be written is logged."""
        if self._folder is None:
            return
        written: list[Path] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            files = {}
            for kind, write in (("base", base.save), ("stamps", lambda path: _write(stamps, path))):
                file = self._folder / f"{uuid.uuid4().hex}.{kind}"
                written.append(file)
                write(file)
                files[kind] = {"name": file.name, "sha256": _digest(file)}
            manifest = {
                "format": FORMAT,
                "tier": base.tier,
                "fingerprint": self._fingerprint,
                "dimension": base.dimension,
                "version": version,
                "files": files,
            }
            draft = self._folder / f"{uuid.uuid4().hex}.{MANIFEST}"
            written.append(draft)
            draft.write_text(json.dumps(manifest), encoding="utf-8")
            draft.replace(self._folder / MANIFEST)
        except (OSError, RuntimeError) as error:
            log.warning("index not kept", reason=str(error), effect="the next start makes it again")
            self._remove(written)
            return
        self._vectors = len(stamps)
        kept = {MANIFEST, *(file["name"] for file in files.values())}
        self._remove(file for file in self._folder.iterdir() if file.name not in kept)

    def load(self, kind: type[Base], dimension: int) -> Cached | None:
        """The base that was kept, None where there is none of this kind, encoder and dimension, or it is damaged."""
        if self._folder is None or not (self._folder / MANIFEST).is_file():
            return None
        try:
            manifest = json.loads((self._folder / MANIFEST).read_text(encoding="utf-8"))
            expected = {
                "format": FORMAT,
                "tier": kind.tier,
                "fingerprint": self._fingerprint,
                "dimension": dimension,
            }
            found = {name: manifest[name] for name in expected}
            if found != expected:
                raise ValueError(f"it is {found}, expected {expected}")
            files = {name: self._folder / file["name"] for name, file in manifest["files"].items()}
            for name, file in files.items():
                if _digest(file) != manifest["files"][name]["sha256"]:
                    raise ValueError(f"{file.name} is not as it was written")
            base, stamps = kind.load(files["base"]), np.load(files["stamps"], allow_pickle=False)
            if (base.dimension, len(base), stamps.dtype) != (dimension, len(stamps), np.dtype(np.uint64)):
                raise ValueError(f"{len(base)} vectors of {base.dimension}, {len(stamps)} stamps")
            self._vectors = len(stamps)
            return Cached(base, stamps, int(manifest["version"]))
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("kept index not used", reason=str(error), effect="it is made again in the background")
            return None

    def _remove(self, files: Iterable[Path]) -> None:
        for file in files:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                log.warning("file of an earlier index left", file=file.name, reason=str(error))


def _write(stamps: Stamps, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, stamps)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
