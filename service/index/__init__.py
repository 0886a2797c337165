"""The index: exact among few relations, approximate among many, and a cache of the registry in either case."""

from service.index.cache import Cache, Cached
from service.index.entry import Entry, Found, Hit, Search
from service.index.live import RelationIndex
from service.index.segment import Vectors
from service.index.tiers import Tiers

__all__ = ["Cache", "Cached", "Entry", "Found", "Hit", "RelationIndex", "Search", "Tiers", "Vectors"]
