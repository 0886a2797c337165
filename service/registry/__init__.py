"""The durable truth about relations, of which the index is a cache."""

from service.registry.lock import DirectoryLock
from service.registry.records import Draft, Page, Record, Stored, Vector, Written
from service.registry.store import Registry, reindex

__all__ = ["DirectoryLock", "Draft", "Page", "Record", "Registry", "Stored", "Vector", "Written", "reindex"]
