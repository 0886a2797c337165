"""Every setting of a training run, in one typed object whose defaults are the default recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SUREST = 100
"""Answers of each relation that self-training learns from, if it is not told another number."""


class Recipe(BaseModel):
    """How to train. `emma train` has one flag for each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="BERT-family encoder to start from: a directory or a Hub name.",
    )
    encoder_name: str = Field("", description="Name of that encoder for the record, where it is a directory.")
    training: Literal["separate", "joint", "recall"] = Field(
        "separate", description="Recall first and then the classifier, both in one loop, or recall alone."
    )
    seed: int = Field(13, description="Same seed, same data, same machine: same numbers.")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Autocast to bfloat16 where the processor has it, always, or never."
    )
    sentence_tokens: int = Field(128, ge=16, description="Longest marked sentence, in tokens.")
    description_tokens: int = Field(64, ge=8, description="Longest description text, in tokens.")

    per_relation: int = Field(0, ge=0, description="Most instances per relation and file; 0 takes all.")
    valid_fraction: float = Field(
        0.03,
        ge=0,
        lt=1,
        description="Part of the sentences held out for validation; with a split, of unrelated pairs only.",
    )
    valid_instances: int = Field(1500, ge=1, description="Most instances that one validation reads.")

    keep: Literal["best", "last"] = Field(
        "best", description="Weights that are kept: of the epoch that validates best, or of the last, as papers do."
    )

    recall_epochs: int = Field(2, ge=1, description="Passes over the training instances.")
    recall_batch: int = Field(64, ge=2, description="Instances per step.")
    recall_learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of the recall tower.")
    recall_start_share: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Part of the weights at the start that is mixed back into the trained recall tower.",
    )
    virtual_entities: bool = Field(
        True, description="Match head and tail with a description's virtual entities; without, [CLS] with [CLS] alone."
    )
    contrast: Literal["relations", "instances"] = Field(
        "relations",
        description="Contrast a step's distinct relations, or, as published, the descriptions of all its instances.",
    )
    recall_turned: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Part of a step's instances that are also read with head and tail swapped, to be told apart.",
    )
    temperature: float = Field(0.02, gt=0, description="τ of Eq. 12.")
    paraphrases: bool = Field(True, description="Draw a relation's wording at random in each step.")

    classifier_epochs: int = Field(1, ge=1, description="Passes, each over instances drawn anew.")
    classifier_instances: int = Field(6_000, ge=1, description="Instances per pass, spread evenly over relations.")
    classifier_fewest: int = Field(
        1, ge=1, description="Fewest instances of a relation; those of fewer are left to recall."
    )
    classifier_batch: int = Field(16, ge=1, description="Instances per step, each with its candidates.")
    classifier_learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of the classifier.")
    classifier_warmup_steps: int = Field(20, ge=0, description="As warmup_steps, of the classifier.")
    classifier_start: Literal["recall", "encoder"] = Field(
        "recall",
        description="Start from the trained recall tower or from `encoder`.",
    )
    reading: Literal["once", "pairs", "published"] = Field(
        "once",
        description="Read a sentence once for all candidates, above recall's lower layers; or anew with each; or "
        "with each, and the paper's head over all k.",
    )
    classifier_layers: int = Field(
        3,
        ge=1,
        description="Upper layers of its own that a classifier has which reads a sentence once for all candidates.",
    )
    candidates: int = Field(4, ge=2, description="Candidates per instance in training.")
    neighbours: int = Field(6, ge=1, description="Recall's nearest relations that the wrong candidates are drawn from.")
    withheld: float = Field(
        0.1, ge=0, le=1, description="Part of the instances whose relation is not among the candidates."
    )
    reversed: float = Field(0.1, ge=0, le=1, description="Part of the instances shown with head and tail swapped.")
    unrelated: float = Field(
        0.25, ge=0, lt=1, description="Part of the instances that are unrelated pairs, if there are any."
    )
    choose_among: int = Field(5, ge=2, description="k of validation, calibration and the bundle.")

    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="Of the attention weights; on a CPU, drawing their masks takes a third of a step."
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's.")
    warmup_steps: int = Field(100, ge=0, description="Recall's steps of linear warm-up; linear decay follows.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    save_every: int = Field(200, ge=1, description="Steps between two saved states that a killed run resumes from.")

    def public(self) -> dict[str, Any]:
        """The settings as a bundle tells them: with the encoder's name, not the place where it lay."""
        place = Path(self.encoder)
        name = self.encoder_name or (place.name if place.is_absolute() or place.is_dir() else self.encoder)
        return self.model_dump(exclude={"encoder_name"}) | {"encoder": name}

    @model_validator(mode="after")
    def _joint_training_leaves_nothing_to_recall(self) -> Self:
        if self.training == "joint" and self.classifier_fewest > 1:
            raise ValueError(
                "joint training asks the classifier about all that recall reads: with training=joint, "
                f"classifier_fewest must be 1, got {self.classifier_fewest}"
            )
        return self

    @model_validator(mode="after")
    def _published_head_knows_no_none(self) -> Self:
        if self.reading == "published" and (self.withheld or self.reversed or self.unrelated):
            raise ValueError(
                'the paper\'s head has no "none of these": with reading=published, withheld, reversed and unrelated '
                f"must be 0, got {self.withheld}, {self.reversed} and {self.unrelated}"
            )
        return self
