"""The index and the registry together, in every tier, through restarts and rebuilds, against a dictionary."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Self

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from models.relation import Relation
from service.index import Cache, RelationIndex, Search, Tiers, bitmaps, gpu, kept
from service.index.gpu import Gpu, Owner
from service.index.kept import Kept
from service.index.lists import Lists
from service.index.source import Source
from service.registration import restore, synchronise
from service.registry import Draft, Registry, locate

DIMENSION = 8
KEYS = st.sampled_from([f"r{number}" for number in range(24)])
TAGS = "xyz"


class Gates:
    """Hold a base that is being made before it has read anything, or after it has read all."""

    def __init__(self) -> None:
        self.before, self.after = threading.Event(), threading.Event()
        self.open()

    def open(self) -> None:
        self.before.set()
        self.after.set()


class Held(Kept):
    """Waits at the gates."""

    gates = Gates()

    @classmethod
    def build(cls, source: Source) -> Self:
        assert cls.gates.before.wait(60)
        made = super().build(source)
        assert cls.gates.after.wait(60)
        return made

    def extended(self, source: Source) -> Self | None:
        assert self.gates.before.wait(60)
        made = super().extended(source)  # type: ignore[safe-super]
        assert self.gates.after.wait(60)
        return made


class HeldLists(Held, Lists):
    """Whose lists are made, and then not yet there."""


class HeldGpu(Held, Gpu):
    """Whose vectors are copied, and then not yet there."""


def vector(seed: int) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal(DIMENSION)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


@st.composite
def drafts(draw: st.DrawFn) -> list[Draft]:
    made = []
    for key in draw(st.lists(KEYS, min_size=1, max_size=8, unique=True)):
        seed = draw(st.integers(0, 99))
        tags = tuple(draw(st.sets(st.sampled_from(TAGS))))
        made.append(Draft(Relation(key, key, f"It is {seed}.", tags=tags), False, vector(seed)))
    return made


class Machine(RuleBasedStateMachine):
    """A registry, the index that follows it, and what both should hold."""

    tiers = Tiers(flat_to=10**9)
    tolerance = 1e-6

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.expected: dict[str, tuple[int, Draft]] = {}
        self.held = False
        self.open()

    def open(self) -> None:
        self.registry = Registry.open(locate(self.folder), "f1")
        self.index = RelationIndex(DIMENSION, self.tiers, Cache(self.folder / "index", "f1"))
        restore(self.registry, self.index)
        self.follow()

    def follow(self) -> None:
        synchronise(self.registry, self.index)
        if not self.held:
            self.index.settle()

    @rule(written=drafts())
    def write(self, written: list[Draft]) -> None:
        for result, draft in zip(self.registry.add(written, replace=True), written, strict=True):
            self.expected[draft.id] = result.record.version, draft
        self.follow()

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        for key in data.draw(st.lists(st.sampled_from(sorted(self.expected)), min_size=1, max_size=6, unique=True)):
            self.registry.delete(key)
            del self.expected[key]
        self.follow()

    @rule()
    def reopen(self) -> None:
        self.release()
        self.index.close()
        self.registry.close()
        self.open()

    @precondition(lambda self: not self.held)
    @rule(where=st.sampled_from(["before", "after"]))
    def hold(self, where: Literal["before", "after"]) -> None:
        """From now on changes come while a base is being made, if one is."""
        self.held = True
        getattr(Held.gates, where).clear()

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        self.held = False
        Held.gates.open()
        self.index.settle()

    @rule(seed=st.integers(0, 99), k=st.integers(1, 30))
    def search(self, seed: int, k: int) -> None:
        self.check(seed, k, self.expected)

    @precondition(lambda self: self.expected)
    @rule(seed=st.integers(0, 99), k=st.integers(1, 30), data=st.data())
    def search_among_ids(self, seed: int, k: int, data: st.DataObject) -> None:
        keys = data.draw(st.sets(st.sampled_from(sorted(self.expected)), min_size=1))
        self.check(seed, k, keys, restrict=keys)

    @rule(seed=st.integers(0, 99), k=st.integers(1, 30), tags=st.sets(st.sampled_from(TAGS), min_size=1))
    def search_among_tags(self, seed: int, k: int, tags: set[str]) -> None:
        there = {tag for _, draft in self.expected.values() for tag in draft.relation.tags}
        tags &= there
        if tags:
            keys = [key for key, (_, draft) in self.expected.items() if tags & {*draft.relation.tags}]
            self.check(seed, k, keys, tags=tags)

    @precondition(lambda self: self.expected)
    @rule(
        seed=st.integers(0, 99),
        k=st.integers(1, 30),
        tags=st.sets(st.sampled_from(TAGS), min_size=1),
        data=st.data(),
    )
    def search_among_ids_and_tags(self, seed: int, k: int, tags: set[str], data: st.DataObject) -> None:
        keys = data.draw(st.sets(st.sampled_from(sorted(self.expected)), min_size=1))
        tags &= {tag for _, draft in self.expected.values() for tag in draft.relation.tags}
        if tags:
            both = [key for key in keys if tags & {*self.expected[key][1].relation.tags}]
            self.check(seed, k, both, restrict=keys, tags=tags)

    def check(self, seed: int, k: int, possible: Collection[str], **restriction: Any) -> None:
        wanted = vector(seed)
        version, [found] = self.index.search(wanted[None], [Search(k, **restriction)])
        cosines = {key: float(self.expected[key][1].vector @ wanted) for key in possible}
        ids = [hit.entry.id for hit in found.hits]
        assert version == self.index.version
        assert len(self.index) == len(self.expected)
        assert len(ids) == len({*ids}) == min(k, len(cosines))
        assert {*ids} <= {*cosines}
        assert [hit.entry.version for hit in found.hits] == [self.expected[key][0] for key in ids]
        np.testing.assert_allclose(
            [hit.cosine for hit in found.hits], [cosines[key] for key in ids], atol=self.tolerance
        )
        best = sorted(cosines.values(), reverse=True)[:k]
        np.testing.assert_allclose([hit.cosine for hit in found.hits], best, atol=self.tolerance)

    def teardown(self) -> None:
        self.held = False
        Held.gates.open()
        if hasattr(self, "index"):
            self.index.close()
            self.registry.close()
            shutil.rmtree(self.folder)


class SmallBases(Machine):
    """As many tiers as so few relations can go through; so few are all in lists that are searched, too."""

    tiers = Tiers(base=HeldLists, flat_to=4, delta=2, dead_share=3)
    # Of numbers in half precision.
    tolerance = 2e-3

    @initialize(compared=st.sampled_from([0, 1_000]), tags_kept=st.integers(0, 2))
    def narrow(self, compared: int, tags_kept: int) -> None:
        """A base's rows of a tag are written down, of as many tags as there is room for, or each is compared."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(kept, "COMPARED", compared)
        # Of at most 24 relations.
        self.patch.setattr(bitmaps, "KEPT_BYTES", 3 * tags_kept)
        # A GPU is not needed to compare so few.
        self.patch.setattr(Owner, "_placed", lambda self, exact: faiss.clone_index(exact))

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "patch"):
            self.patch.undo()


class OnGpu(SmallBases):
    """The same on a GPU, which gives only a few at once."""

    tiers = Tiers(base=HeldGpu, flat_to=4, delta=2, dead_share=3)

    @initialize(at_once=st.integers(1, 20))
    def limit(self, at_once: int) -> None:
        self.limited = pytest.MonkeyPatch()
        self.limited.setattr(gpu, "AT_ONCE", at_once)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "limited"):
            self.limited.undo()


TestFlat = Machine.TestCase
TestFlat.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestBases = SmallBases.TestCase
TestOnGpu = OnGpu.TestCase
TestBases.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestOnGpu.settings = settings(TestBases.settings, max_examples=30)
