"""The durable truth about relations, of which the index is a cache."""

from service.registry.location import described, is_shared, locate
from service.registry.lock import DirectoryLock, locked
from service.registry.records import Draft, Event, History, Once, Page, Record, Stored, Vector, Written
from service.registry.reindexing import reindex
from service.registry.rows import content
from service.registry.schema import upgrade
from service.registry.store import Registry

__all__ = [
    "DirectoryLock",
    "Draft",
    "Event",
    "History",
    "Once",
    "Page",
    "Record",
    "Registry",
    "Stored",
    "Vector",
    "Written",
    "content",
    "described",
    "is_shared",
    "locate",
    "locked",
    "reindex",
    "upgrade",
]
