from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from models.relation import Relation


def zipped(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


@pytest.fixture(scope="session")
def public_data(test_data: Path, tiny_relations: dict[str, Relation], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory laid out like the public data, made of the test files: `fewrel_m3_seed1` and `wikizsl_m3_seed1`.

    The further sets have the same relations in other sentences; Wiki-ZSL has three of FewRel's as a sample only.
    """
    folder = tmp_path_factory.mktemp("public")
    (folder / "splits").mkdir()
    (folder / "descriptions").mkdir()
    lines = (test_data / "instances.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for line in lines if (row := json.loads(line))["relation"] is not None]
    described = {
        name: {
            "name": relation.name,
            "processed": {
                "description": f"{relation.name} is {relation.description}".split(),
                "h": ["person"],
                "t": ["place"],
            },
            "addsynonym": {"description": [], "h": ["person", "human"], "t": ["place"]},
        }
        for name, relation in tiny_relations.items()
    }
    zipped(folder / "fewrel.jsonl.gz", rows)
    for file in ("docred_train_intra", "redocred_dev"):
        zipped(folder / f"{file}.jsonl.gz", [row | {"tokens": [*row["tokens"], file]} for row in rows[::4]])
    for part in ("dev", "test"):
        reverse = [
            {**row, "relation": None, "head": row["tail"], "tail": row["head"]} for row in rows[part == "dev" :: 5]
        ]
        zipped(
            folder / f"redocred_{part}_negatives.jsonl.gz",
            [x | {"reverse_related": i % 2 == 0} for i, x in enumerate(reverse)],
        )
    zipped(folder / "redocred_test.jsonl.gz", [row | {"tokens": [*row["tokens"], "test"]} for row in rows[1::4]])
    sampled = ("P19", "P50", "P22")
    whole = [row | {"tokens": [*row["tokens"], "wiki"], "first_edge": i % 5 > 0} for i, row in enumerate(rows)]
    zipped(folder / "wikizsl_part.jsonl.gz", [row for row in whole if row["relation"] not in sampled])
    zipped(
        folder / "wikizsl_partial_rels_sample.jsonl.gz",
        [row | {"tokens": [*row["tokens"], "sample"]} for row in rows if row["relation"] in sampled][::3],
    )
    for dataset in ("fewrel", "wikizsl"):
        shutil.copy(test_data / "split.json", folder / "splits" / f"{dataset}_m3_seed1.json")
        path = folder / "descriptions" / f"{dataset}_emma_rematching_alignre.json"
        path.write_text(json.dumps(described), encoding="utf-8")
    return folder
