"""What the classifier is asked in training: an instance, k candidates, and which of them holds, if any.

The wrong candidates are the recall model's own neighbours, since those are what it has to separate. "None of
these" is the answer to real unrelated pairs, to instances whose relation is withheld, and to pairs put the
wrong way round, so that it cannot be told by the corpus that a sentence comes from.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from models.job.dataset import Example
from models.job.recipe import Recipe
from models.relation import Relation, opposites
from models.text import Instance


@dataclass(frozen=True, slots=True)
class Question:
    """`gold` is a position among the candidates, or None where none of them holds."""

    instance: Instance
    candidates: tuple[str, ...]
    gold: int | None


class Questioner:
    """Turns examples and their recalled neighbours into questions."""

    def __init__(self, relations: dict[str, Relation], known: Sequence[str], recipe: Recipe) -> None:
        """Take the relations that may be candidates, and the recipe's shares of each kind of question."""
        self.relations = relations
        self.known = list(known)
        self.recipe = recipe
        self._inverse_of = {x.inverse for x in relations.values() if x.inverse is not None}
        self._opposites = opposites(relations.values())

    def ask(self, example: Example, neighbours: Sequence[str], draw: random.Random) -> Question:
        """One question about an example.

        Args:
            example: related or not.
            neighbours: relation ids, best recalled first.
            draw: source of every random choice.
        """
        chance = draw.random()
        true = {example.relation} | example.also
        wrong = [x for x in neighbours if x not in true][: self.recipe.neighbours]
        if example.relation is None or chance < self.recipe.withheld:
            return self._none(example.instance, wrong, draw)
        if chance < self.recipe.withheld + self.recipe.reversed:
            turned = self._turned(example, example.relation, wrong, draw)
            if turned is not None:
                return turned
        return self._one(example.instance, example.relation, wrong, draw)

    def _turned(self, example: Example, relation: str, wrong: list[str], draw: random.Random) -> Question | None:
        instance = example.instance.turned()
        known = self.relations[relation]
        holds = {name for true in (relation, *example.also) for name in self._opposites.get(true, ())}
        far = [x for x in self.known if x not in wrong and x != relation and x not in example.also | holds]
        wrong = [x for x in wrong if x not in holds]
        if known.symmetric:
            return self._one(instance, relation, wrong, draw)
        if known.inverse in self.known:
            return self._one(instance, str(known.inverse), [x for x in (relation, *wrong) if x not in holds], draw)
        if known.inverse is not None or relation in self._inverse_of:
            return None
        # Near neighbours might hold in this direction; far ones do not.
        chosen = [relation, *draw.sample(far, min(len(far), self.recipe.candidates - 1))]
        return Question(instance, tuple(chosen), None)

    def _one(self, instance: Instance, relation: str, wrong: list[str], draw: random.Random) -> Question:
        chosen = [relation, *draw.sample(wrong, min(len(wrong), self.recipe.candidates - 1))]
        draw.shuffle(chosen)
        return Question(instance, tuple(chosen), chosen.index(relation))

    def _none(self, instance: Instance, wrong: list[str], draw: random.Random) -> Question:
        return Question(instance, tuple(draw.sample(wrong, min(len(wrong), self.recipe.candidates))), None)


def spread_evenly(examples: Sequence[Example], recipe: Recipe, draw: random.Random) -> list[int]:
    """Rows for one pass: as many of each relation as there are, up to an equal share, and of unrelated pairs."""
    by_relation: defaultdict[str | None, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        by_relation[example.relation].append(row)
    unrelated = by_relation.pop(None, [])
    rows = draw.sample(unrelated, min(len(unrelated), round(recipe.unrelated * recipe.classifier_instances)))
    wanted = recipe.classifier_instances - len(rows)
    pools = [draw.sample(pool, len(pool)) for _, pool in sorted(by_relation.items(), key=lambda item: str(item[0]))]
    # Small relations give all they have, and what they lack is shared among the larger ones.
    pools.sort(key=len)
    for left, pool in zip(range(len(pools), 0, -1), pools, strict=True):
        share = pool[: -(-wanted // left)]
        rows.extend(share)
        wanted -= len(share)
    return rows
