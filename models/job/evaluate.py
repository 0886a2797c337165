"""What a checkpoint or a bundle scores on a split or a file, and the table that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from models.decision import Calibration
from models.job.dataset import DataError, Example
from models.job.direction import measure, told
from models.job.metrics import paper_scores, recall_at, standard_scores
from models.job.open_set import calibration_error, false_positives, judged, open_set, reliability
from models.job.scoring import Model, Scored, score
from models.relation import Relation

RANKS = (1, 2, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one evaluation, JSON-ready, and who was evaluated on what."""

    title: str
    figures: dict[str, Any]

    def brief(self) -> dict[str, Any]:
        """The figures without the curves, which take a hundred lines."""
        opened = {
            k: v for k, v in self.figures.get("open_set", {}).items() if k not in ("risk_coverage", "reliability")
        }
        return self.figures | ({"open_set": opened} if opened else {})

    def table(self) -> Table:
        """The closed-set figures as a table for the terminal."""
        # Without rules and with thin gaps between the columns it fits a terminal of 80.
        table = Table(title=self.title, caption=self._caption(), box=box.SIMPLE_HEAD, collapse_padding=True)
        table.add_column("method")
        table.add_column("k", justify="right")
        for metric in ("paper", "sklearn"):
            for column in ("P", "R", "F1"):
                table.add_column(f"{metric}\n{column}", justify="right")
        for row in self.figures["closed_set"]:
            values = [f"{row[m][c]:.2f}" for m in ("paper", "sklearn") for c in ("precision", "recall", "f1")]
            table.add_row(row["method"], str(row["k"]), *values)
        return table

    def _caption(self) -> str:
        figures = self.figures
        parts = [
            f"{figures['related']:,} related pairs, {figures['relations']} relations",
            "recall@k " + ", ".join(f"{k}: {value:.1f}" for k, value in figures["recall_at"].items()),
        ]
        if "open_set" in figures:
            opened = figures["open_set"]
            parts.append(
                f"{opened['unrelated']:,} unrelated pairs, k = {opened['k']}: AUROC {opened['auroc']:.3f}; "
                f"at threshold {opened['threshold']:.2f} P {opened['precision']:.1f}, R {opened['recall']:.1f}, "
                f"F1 {opened['f1']:.1f}, {opened['false_positives']:.1f}% of them given a relation "
                f"({opened['false_positives_at_90_recall']:.1f}% at 90% recall); ECE {opened['ece']:.3f}"
            )
        if "direction" in figures:
            turned = figures["direction"]
            parts.append(
                f"head and tail changed: {_share(turned['kept'])} of {turned['asymmetric']:,} right asymmetric answers "
                f"kept, {_share(turned['symmetric_kept'])} of {turned['symmetric']:,} symmetric ones"
            )
        return "\n".join(parts)


def evaluate(
    model: Model,
    calibration: Calibration | None,
    examples: Sequence[Example],
    relations: Sequence[Relation],
    ks: Sequence[int],
    title: str,
) -> Report:
    """Evaluate a model.

    Closed set: each related pair's relation is one of `relations`, and one of them has to be chosen. Open set,
    where there are unrelated pairs too: null may be answered, at the calibrated threshold and the largest k.
    Direction, where the relations say what holds the other way round: head and tail are changed in up to 1,000
    related pairs.

    Args:
        model: a checkpoint or a runtime.
        calibration: how its two scores are put together; None evaluates recall alone.
        examples: related pairs of these relations, and unrelated ones.
        relations: the candidates.
        ks: numbers of candidates that the classifier reads.
        title: what was evaluated on what.

    Raises:
        DataError: there is no related pair.
    """
    examples = sorted(examples, key=lambda x: x.relation is None)
    gold = [x.relation for x in examples if x.relation is not None]
    if not gold:
        raise DataError("no instance has a relation of this set: check the split and the instance files")
    found = score(model, examples, relations, max(ks), classify=calibration is not None)
    related = found.first(len(gold))
    column = {relation.id: i for i, relation in enumerate(relations)}
    truth = np.array([column[x] for x in gold])
    figures: dict[str, Any] = {
        "related": len(gold),
        "relations": len(relations),
        "recall_at": recall_at(related.cosines, truth, [k for k in RANKS if k <= len(relations)]),
        "closed_set": [_row("recall only", 1, gold, related.recalled())],
    }
    if calibration is not None:
        for k in ks:
            among = related.among(k)
            figures["closed_set"] += [
                _row("classifier only", k, gold, among.classified()),
                _row("recall + classifier", k, gold, among.fused(calibration)),
            ]
        if len(gold) < len(examples):
            figures["open_set"] = {"k": max(ks)} | open_set_figures(found, examples, calibration)
        if told(relations):
            pairs = examples[: len(gold)]
            figures["direction"] = measure(model, calibration, pairs, relations, related).to_json()
    return Report(title, figures)


def open_set_figures(found: Scored, examples: Sequence[Example], calibration: Calibration) -> dict[str, Any]:
    """Figures of related and unrelated examples together, JSON-ready: `models.job.open_set.OpenSet` and calibration.

    Args:
        found: with the classifier's scores of the examples.
        examples: in the order of `found`; at least one of each kind.
        calibration: how the two models' scores are put together.
    """
    truths = [x.truth for x in examples]
    related = np.array([x.relation is not None for x in examples])
    reverse = np.array([x.reverse_related for x in examples])
    confidence, right = judged(found, truths, calibration)
    figures = open_set(confidence, related, right, calibration.threshold).to_json()
    bins = {"calibrated": reliability(confidence, right)}
    # The default numbers are the classifier's own softmax.
    bins["uncalibrated"] = reliability(*judged(found, truths, Calibration()))
    figures["ece"] = calibration_error(bins["calibrated"])
    figures["ece_uncalibrated"] = calibration_error(bins["uncalibrated"])
    figures["reliability"] = {name: [[x.confidence, x.right, x.count] for x in kept] for name, kept in bins.items()}
    if reverse.any():
        kinds = {"reverse_related": ~related & reverse, "other": ~related & ~reverse}
        figures["false_positives_by_kind"] = false_positives(confidence, kinds, calibration.threshold)
    return figures


def _share(percent: float | None) -> str:
    return "none" if percent is None else f"{percent:.1f}%"


def _row(method: str, k: int, gold: list[str], predicted: list[str]) -> dict[str, Any]:
    return {
        "method": method,
        "k": k,
        "paper": paper_scores(gold, predicted).to_json(),
        "sklearn": standard_scores(gold, predicted).to_json(),
    }
