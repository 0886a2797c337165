from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner, Result

from models.flags import takes_fields_of


class Colours(BaseModel):
    depth: int = Field(3, description="How deep.")
    ink_share: float = Field(0.5, description="How much ink.")
    kind: Literal["flat", "round"] = Field("flat", description="Which kind.")
    fast: bool = Field(False, description="Whether to hurry.")
    folder: Path | None = Field(None, description="Where to.")


class Called:
    """A command that notes what it was called with."""

    def __init__(self, prefix: str | None = None, only: Sequence[str] = ()) -> None:
        self.given: dict[str, Any] = {}
        self.name = ""
        self.app = typer.Typer()

        @takes_fields_of(Colours, only=only, environment_prefix=prefix)
        def paint(name: Annotated[str, typer.Option("--name", help="Of the picture.")], **given: Any) -> None:
            """Paint a picture."""
            self.name, self.given = name, given

        self.app.command()(paint)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(self.app, ["--name", "x", *arguments], env={"COLUMNS": "200", **(env or {})})


@pytest.fixture
def called() -> Called:
    return Called()


def test_only_flags_that_were_given_are_passed_on(called: Called) -> None:
    assert called.run("--depth", "7").exit_code == 0
    assert (called.name, called.given) == ("x", {"depth": "7"})


def test_without_flags_nothing_is_passed_on(called: Called) -> None:
    assert called.run().exit_code == 0
    assert called.given == {}


def test_a_flag_of_two_words_has_a_hyphen(called: Called) -> None:
    called.run("--ink-share", "0.25")
    assert called.given == {"ink_share": "0.25"}


@pytest.mark.parametrize(("flag", "value"), [("--fast", True), ("--no-fast", False)])
def test_a_switch_can_be_given_both_ways(called: Called, flag: str, value: bool) -> None:
    called.run(flag)
    assert called.given == {"fast": value}


def test_values_are_passed_as_text_for_the_model_to_read(called: Called) -> None:
    called.run("--kind", "square", "--folder", "out", "--depth", "deep")
    assert called.given == {"kind": "square", "folder": "out", "depth": "deep"}


def test_only_the_chosen_fields_become_flags() -> None:
    called = Called(only=("depth",))
    assert called.run("--depth", "1").exit_code == 0
    assert called.run("--ink-share", "1").exit_code == 2


def test_the_help_has_each_fields_description_default_and_kind(called: Called) -> None:
    text = " ".join(called.run("--help").output.replace("│", " ").split())
    for line in (
        "INTEGER How deep. [default: (3)]",
        "flat|round Which kind. [default: (flat)]",
        "[default: (not set)]",
    ):
        assert line in text


def test_the_help_has_the_commands_own_text(called: Called) -> None:
    assert "Paint a picture." in called.run("--help").output


def test_a_prefix_makes_variables_count_as_flags() -> None:
    called = Called("EMMA_TEST_")
    called.run(env={"EMMA_TEST_INK_SHARE": "0.75"})
    assert called.given == {"ink_share": "0.75"}


def test_a_flag_goes_before_a_variable() -> None:
    called = Called("EMMA_TEST_")
    called.run("--depth", "1", env={"EMMA_TEST_DEPTH": "2"})
    assert called.given == {"depth": "1"}


def test_without_a_prefix_no_variable_is_read(called: Called) -> None:
    called.run(env={"DEPTH": "2", "NONEDEPTH": "2"})
    assert called.given == {}
