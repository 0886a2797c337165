"""The artefact on disk, the only thing that passes from the offline half to the online one.

- `manifest.json`: what this is, how to read it, what it scored, and the SHA-256 of every other file
- `recall.onnx`: the recall tower; `classifier.onnx`: the classifier
- `tokenizer.json`: with the entity markers
- `catalogue.jsonl`: the relations that come with it
- `index.faiss`: their description vectors, row i being line i of the catalogue
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import faiss
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.decision import Calibration
from models.relation import Relation, read_relations
from models.text import Lengths

FORMAT: Final = 2
MANIFEST, RECALL, CLASSIFIER = "manifest.json", "recall.onnx", "classifier.onnx"
TOKENIZER, CATALOGUE, INDEX = "tokenizer.json", "catalogue.jsonl", "index.faiss"
FILES = (RECALL, CLASSIFIER, TOKENIZER, CATALOGUE, INDEX)
DEFAULT_BUNDLE = Path(__file__).parent / "pretrained"


class BundleError(Exception):
    """A bundle that cannot be used; the message names the file, the fault and the fix."""


class FileRecord(BaseModel):
    """Size and checksum of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Measure a file."""
        with path.open("rb") as file:
            return cls(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    name: str
    created: str
    precision: Literal["fp32", "int8"]
    dimension: int = Field(gt=0, description="Length of a vector, three times the encoder's hidden size.")
    fingerprint: str = Field(description="Vectors of two bundles can be compared only if these are equal.")
    sentence_tokens: int = Field(gt=0)
    description_tokens: int = Field(gt=0)
    special_tokens: dict[str, str]
    candidates: int = Field(gt=0, description="How many recalled relations the classifier reads (k).")
    calibration: dict[str, float]
    training: dict[str, Any] = Field(description="What it was trained on, and how.")
    scores: dict[str, Any] = Field(description="What it scored, and on what.")
    files: dict[str, FileRecord]

    def lengths(self) -> Lengths:
        """Token limits of the input builder."""
        return Lengths(self.sentence_tokens, self.description_tokens)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were all found to be what the manifest says."""

    path: Path
    manifest: Manifest
    calibration: Calibration

    def relations(self) -> list[Relation]:
        """The catalogue, in the order of the index; empty where only graphs were exported."""
        path = self.path / CATALOGUE
        return list(read_relations(path).values()) if path.stat().st_size else []

    def vectors(self) -> npt.NDArray[np.float32]:
        """The catalogue's description vectors, shape (relations, dimension), unit norm.

        Raises:
            BundleError: the index does not fit the catalogue or the manifest.
        """
        index = faiss.read_index(str(self.path / INDEX))
        count = len(self.relations())
        if (index.ntotal, index.d) != (count, self.manifest.dimension):
            raise BundleError(
                f"{self.path / INDEX} holds {index.ntotal} vectors of {index.d} numbers, expected {count} of "
                f"{self.manifest.dimension}: rebuild the bundle with `emma index`"
            )
        return np.asarray(index.reconstruct_n(0, count), dtype=np.float32)


def load_bundle(path: Path) -> Bundle:
    """Read and verify a bundle.

    Raises:
        BundleError: the directory or a file is missing, a checksum differs, or the format is unknown.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise BundleError(
            f"no bundle at {path}: {MANIFEST} is missing; EMMA_BUNDLE must be a directory made by `emma build`"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{file} is not JSON ({error}): restore the bundle from its source") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise BundleError(
            f"{file} has format {found!r}, this version reads format {FORMAT}: "
            "use the release that made the bundle, or make it again with `emma build`"
        )
    try:
        manifest = Manifest.model_validate(content)
        calibration = Calibration.from_json(manifest.calibration)
    except (ValidationError, TypeError) as error:
        raise BundleError(f"{file} is not a manifest: {error}") from error
    for name in FILES:
        _verify(path / name, manifest.files.get(name))
    return Bundle(path, manifest, calibration)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, which makes the directory a bundle: call it last."""
    text = json.dumps(manifest.model_dump(), indent=2, ensure_ascii=False, allow_nan=False)
    (path / MANIFEST).write_text(text + "\n", encoding="utf-8")


def fingerprint(tokenizer: Path, recall: Path, lengths: Lengths) -> str:
    """Identity of everything that a description vector depends on, 16 hexadecimal digits."""
    parts = (FileRecord.of(tokenizer).sha256, FileRecord.of(recall).sha256, str(lengths.description))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


def _verify(path: Path, record: FileRecord | None) -> None:
    if record is None:
        raise BundleError(f"{path.parent / MANIFEST} does not list {path.name}: restore the bundle from its source")
    if not path.is_file():
        raise BundleError(f"{path} is missing: restore the bundle from its source (a Git LFS or partial copy?)")
    found = FileRecord.of(path)
    if found != record:
        raise BundleError(
            f"{path} is not the file that the manifest describes: expected {record.bytes} bytes with SHA-256 "
            f"{record.sha256[:12]}…, found {found.bytes} with {found.sha256[:12]}…; restore the bundle from its source"
        )
