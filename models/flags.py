"""Command-line flags made from the fields of a typed settings object, so that nothing is written twice."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def flag(name: str) -> str:
    """The command-line flag of a field.

    >>> flag("data_dir")
    '--data-dir'
    """
    return "--" + name.replace("_", "-")


def takes_fields_of(
    model: type[BaseModel], *, only: Sequence[str] = (), environment_prefix: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a typer command, whose `**given` gets those fields of `model` that were given as flags.

    Each field becomes an option with its description and its default in the help text. Values are passed on as
    text (a switch as a bool), so that one place, the model, reads and checks them.

    Args:
        model: whose fields become options.
        only: these fields; all of them when empty.
        environment_prefix: when given, each option also reads the variable of that prefix and the field's name.
    """
    fields = {name: model.model_fields[name] for name in only or model.model_fields}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        generated = [_parameter(name, field, environment_prefix) for name, field in fields.items()]
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *generated)]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in fields if name in arguments}
            command(**arguments, **{name: value for name, value in given.items() if value is not None})

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _parameter(name: str, field: FieldInfo, environment_prefix: str | None) -> inspect.Parameter:
    switch = field.annotation is bool
    option = typer.Option(
        f"{flag(name)}/{flag(f'no_{name}')}" if switch else flag(name),
        metavar=None if switch else _metavar(field.annotation),
        help=field.description,
        envvar=f"{environment_prefix}{name.upper()}" if environment_prefix else None,
        show_default="not set" if field.default is None else str(field.default),
    )
    annotation: Any = bool | None if switch else str | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option]
    )


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    kinds = [x for x in get_args(annotation) or (annotation,) if x is not type(None)]
    return {"int": "INTEGER", "float": "NUMBER", "Path": "PATH"}.get(kinds[0].__name__, "TEXT")
