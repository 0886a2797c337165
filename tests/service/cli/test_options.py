from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from models.flags import flag
from service.cli import app as emma
from service.cli.options import with_settings
from service.errors import StartupError
from service.settings import Settings, variable

runner = CliRunner()


def command(*names: str) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @with_settings(*names)
    def show(settings: Settings, extra: int = 1) -> None:
        typer.echo(f"{settings.port} {settings.batch_size} {settings.seed_catalogue} {extra}")

    return app


def test_a_flag_sets_its_setting_and_the_commands_own_options_stay() -> None:
    result = runner.invoke(command(), ["--port", "9", "--batch-size", "4", "--no-seed-catalogue", "--extra", "7"])
    assert result.output == "9 4 False 7\n"


def test_the_environment_sets_it_too_and_the_flag_wins() -> None:
    environment = {"EMMA_PORT": "9", "EMMA_BATCH_SIZE": "4"}
    assert runner.invoke(command(), ["--port", "10"], env=environment).output == "10 4 True 1\n"


def test_without_flags_the_defaults_hold() -> None:
    assert runner.invoke(command(), []).output == "8000 1 True 1\n"


def test_a_command_has_only_the_flags_that_it_asks_for() -> None:
    assert runner.invoke(command("port"), ["--batch-size", "4"]).exit_code == 2
    assert runner.invoke(command("port"), ["--port", "4"]).exit_code == 0


@pytest.mark.parametrize(("arguments", "environment"), [(["--port", "x"], {}), ([], {"EMMA_PORT": "x"})])
def test_a_bad_value_is_one_line_whether_flag_or_variable(arguments: list[str], environment: dict[str, str]) -> None:
    result = runner.invoke(command(), arguments, env=environment)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: EMMA_PORT (--port) is 'x': ")
    assert result.stderr.count("\n") == 1


def test_a_fault_that_a_user_can_mend_has_no_stack_trace() -> None:
    app = typer.Typer()

    @app.command()
    @with_settings("port")
    def start(settings: Settings) -> None:
        raise StartupError("no bundle [here]: do this")

    result = runner.invoke(app, [])
    assert (result.exit_code, result.stderr) == (1, "Error: no bundle [here]: do this\n")


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_a_flag_of_serve_with_its_variable(name: str) -> None:
    text = runner.invoke(emma, ["serve", "--help"], env={"COLUMNS": "300"}).output
    assert flag(name) in text
    assert variable(name) in text
    description = Settings.model_fields[name].description
    assert description is not None
    assert description in text
