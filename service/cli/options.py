"""What the commands share: the settings as flags, and faults told in one line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from models.flags import takes_fields_of
from models.relation import RelationFileError
from service.errors import ServiceError, StartupError
from service.settings import PREFIX, Settings, SettingsError, load_settings

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one line that says why."""
    errors.print(f"[bold red]Error:[/] {escape(message)}")
    raise typer.Exit(code)


@contextmanager
def explained() -> Iterator[None]:
    """Turn the faults that a user can mend into one line, without a stack trace."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), 2)
    except (StartupError, ServiceError, RelationFileError) as error:
        fail(str(error))


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each of these settings, or for all of them; it gets them as `settings`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [x for x in signature.parameters.values() if x.name != "settings"]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in Settings.model_fields if name in values and name not in mine}
            with explained():
                command(settings=load_settings(**given), **values)

        mine = {x.name for x in own}
        run.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        return takes_fields_of(Settings, only=names, environment_prefix=PREFIX)(run)

    return decorate
