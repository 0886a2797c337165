"""Which tier an index of a size has, and when a base is made anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.index import gpu
from service.index.lists import Lists
from service.index.segment import Base

FLAT_TO = 5_000
DELTA = 2_000
DELTA_SHARE = 100
DEAD_SHARE = 4


def fastest() -> type[Base]:
    """The tier for many relations on this machine."""
    return gpu.Gpu if gpu.available() else Lists


@dataclass(frozen=True, slots=True)
class Tiers:
    """The sizes at which an index changes how it searches.

    Attributes:
        base: the tier for many relations.
        flat_to: relations up to which all are compared exactly, in about a millisecond.
        delta: new relations beside a base, compared exactly, at which they go into it: half a millisecond of a search.
        delta_share: or one in so many of the base's, if those are more, because the base is copied for it.
        dead_share: one vector in so many of a base that cannot be found any more makes it worth building anew.
    """

    base: type[Base] = field(default_factory=fastest)
    flat_to: int = FLAT_TO
    delta: int = DELTA
    delta_share: int = DELTA_SHARE
    dead_share: int = DEAD_SHARE

    def due(self, base: Base | None, fresh: int) -> bool:
        """Whether a base is to be made of the present one, if there is one, and as many vectors beside it."""
        if base is None:
            return fresh > self.flat_to
        return self.worn(base) or fresh > max(self.delta, len(base) // self.delta_share)

    def worn(self, base: Base) -> bool:
        """Whether so much of a base is dead that it is not to be extended."""
        return self.dead_share * base.dead > len(base) + base.dead
