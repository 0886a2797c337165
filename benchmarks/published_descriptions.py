"""Make a relation file of the descriptions that the papers used, from their published JSON.

    python benchmarks/published_descriptions.py fewrel_emma_rematching_alignre.json relations.jsonl

EMMA reads RE-Matching's hand-edited descriptions ("label is description", as tokens under
`processed.description`); the label is taken off, since it is the relation's name here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from models.relation import Relation, write_relations


def published(path: Path) -> list[Relation]:
    """The relations of a published description file."""
    relations = []
    for name, row in json.loads(path.read_text(encoding="utf-8")).items():
        label = row.get("name") or row["alignre"]["name"]
        text = " ".join(row["processed"]["description"])
        description = text.removeprefix(f"{label} is ").removeprefix(f"{label} are ")
        relations.append(Relation(id=name, name=label, description=description))
    return relations


if __name__ == "__main__":
    write_relations(published(Path(sys.argv[1])), Path(sys.argv[2]))
