from __future__ import annotations

import pytest

from service.index import Tiers
from service.index.lists import Lists
from tests.service.index.support import clustered, flat, source

TIERS = Tiers(flat_to=50, delta=20, delta_share=4, dead_share=4)


@pytest.mark.parametrize(("relations", "due"), [(50, False), (51, True)])
def test_without_a_base_one_is_due_beyond_a_number(relations: int, due: bool) -> None:
    assert TIERS.due(None, relations) == due


@pytest.mark.parametrize(("size", "fresh", "due"), [(60, 20, False), (60, 21, True), (200, 50, False), (200, 51, True)])
def test_beside_a_base_as_many_may_be_as_are_searched_soon_or_are_a_small_part(
    size: int, fresh: int, due: bool
) -> None:
    assert TIERS.due(Lists.build(source(flat(clustered(size)))), fresh) == due


def test_a_base_is_worn_when_too_much_of_it_is_dead() -> None:
    base = Lists.build(source(flat(clustered(100))))
    base.discard(range(25))
    assert not TIERS.worn(base)
    base.discard([25])
    assert TIERS.worn(base)
    assert TIERS.due(base, 0)
