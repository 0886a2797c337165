"""Make a relation file of the descriptions that the papers used, from their published JSON.

    python benchmarks/published_descriptions.py fewrel_emma_rematching_alignre.json relations.jsonl

EMMA reads RE-Matching's hand-edited descriptions ("label is description", as tokens under
`processed.description`); the label is taken off, since it is the relation's name here. The types of head and tail
are those of `processed`, and after them the synonyms that `addsynonym` has besides.
"""

from __future__ import annotations

import sys
from pathlib import Path

from models.bench.data import read_published
from models.relation import write_relations

if __name__ == "__main__":
    write_relations(read_published(Path(sys.argv[1])).values(), Path(sys.argv[2]))
