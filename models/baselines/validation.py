"""The number by which all methods choose their best epoch."""

from __future__ import annotations

import numpy as np

from models.baselines.method import Method
from models.job.metrics import standard_scores
from models.job.stage import Stage


def macro_f1(method: Method, stage: Stage) -> dict[str, float]:
    """What `Stage.validate` returns: scikit-learn's macro F1 in percent, of each example's best scored relation.

    Args:
        method: as trained so far.
        stage: has the related pairs of validation, and the relations that they are to be told among.
    """
    examples = stage.valid_examples()
    relations = [stage.data.relations[name] for name in stage.data.valid_relations]
    best = np.argmax(method.score([example.instance for example in examples], relations), axis=1)
    chosen = [relations[column].id for column in best]
    return {"score": standard_scores([str(example.relation) for example in examples], chosen).f1}
