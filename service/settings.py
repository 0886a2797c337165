"""Everything about the service that can be set, in one frozen, typed object.

A setting is written once: its name gives the variable (`EMMA_PORT`) and the flag (`--port`), its description
the help text, its type and bounds the check.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from models.bundle import DEFAULT_BUNDLE
from models.flags import flag
from service.registry.location import locate

PREFIX = "EMMA_"


class SettingsError(Exception):
    """A setting with a bad value; the message names the variable, the value and the fix."""


class Settings(BaseSettings):
    """The settings of one service process, from keyword arguments, else the environment, else the defaults."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every interface.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 takes any free one.")
    data_dir: Path = Field(Path("emma-data"), description="Directory of the registry; made when it is missing.")
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL database of a registry that several processes share, in place of the directory's.",
    )
    listen_url: SecretStr | None = Field(
        None,
        description="Address of the same database past a pooler in transaction mode, which drops notifications; for "
        "the one connection that listens. When not set, it is made like all others.",
    )
    index_dir: Path | None = Field(
        None,
        description="Directory in which the index of many relations is kept for the next start; when not set, `index` "
        "in the directory of the registry, and none where the registry is in PostgreSQL.",
    )
    bundle: Path = Field(DEFAULT_BUNDLE, description="Directory of the bundle to serve.")
    api_keys_file: Path | None = Field(
        None,
        description="File of the API keys, one of which a request then needs, see `emma keys`; when not set, whoever "
        "reaches the service may use it and change the registry.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of the model, a batch for each; when not set, the processors this process may use.",
    )
    queue_size: int = Field(1024, ge=1, description="Instances that may wait for the model; beyond it, 429.")
    batch_size: int = Field(
        1, ge=1, le=1024, description="Instances that a thread of the model reads at once, at most; more for a GPU."
    )
    cache_size: int = Field(
        1024,
        ge=0,
        le=1_000_000,
        description="Answers that are kept for identical requests, until the registry changes; 0 keeps none.",
    )
    deadline_seconds: float = Field(
        30.0, gt=0, le=3600, allow_inf_nan=False, description="Seconds until a request is given up with 504."
    )
    poll_seconds: float = Field(
        5.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds after which changes in a shared database are looked for that no notification told of.",
    )
    version_wait_seconds: float = Field(
        5.0, ge=0, le=3600, allow_inf_nan=False, description="Seconds that `min_version` is waited for; then, 503."
    )
    max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024, description="Bytes of a request's body; beyond it, 413.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object a line, or text for people.")
    seed_catalogue: bool = Field(True, description="Put the bundle's relations into a registry that is new.")

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _is_unset_when_empty(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("database_url", "listen_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        locate(Path(), value.get_secret_value() if value else None)
        return value

    @field_validator("listen_url")
    @classmethod
    def _has_a_database(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # Not there where it is at fault itself.
        if value and not info.data.get("database_url", value):
            raise ValueError(f"is set without {variable('database_url')}, of which it is another address")
        return value

    def registry(self) -> URL:
        """Where the registry is."""
        return locate(self.data_dir, self.database_url.get_secret_value() if self.database_url else None)

    def listen_at(self) -> URL | None:
        """Where notifications of the registry are listened for, None where it is the registry's own address."""
        return locate(self.data_dir, self.listen_url.get_secret_value()) if self.listen_url else None

    def index_folder(self) -> Path | None:
        """Where the index is kept for the next start, None where it is not."""
        if self.index_dir is None and self.database_url is None:
            return self.data_dir / "index"
        return self.index_dir


def variable(name: str) -> str:
    """The environment variable of a setting.

    >>> variable("data_dir")
    'EMMA_DATA_DIR'
    """
    return PREFIX + name.upper()


def load_settings(**given: Any) -> Settings:
    """Settings with the given values; the rest comes from the environment and the defaults.

    Raises:
        SettingsError: a value is of the wrong type or out of bounds.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = [_explain(fault["loc"], fault["msg"], fault["input"]) for fault in error.errors()]
        raise SettingsError("; ".join(faults)) from error


def _explain(location: tuple[int | str, ...], message: str, value: Any) -> str:
    name = str(location[0]) if location else ""
    field = Settings.model_fields.get(name)
    if field is None:
        return f"{name or 'settings'}: {message}"
    example = "leave it out" if field.default is None else f"use something like {field.default}"
    # A password may be in it.
    shown = "'***'" if name in ("database_url", "listen_url") else repr(str(value))
    message = message.removeprefix("Value error, ")
    text = f"{variable(name)} ({flag(name)}) is {shown}: {message[:1].lower()}{message[1:]}; {example}"
    if str(value).startswith("tcp://"):
        text += " (Kubernetes sets this variable for a Service named emma: set enableServiceLinks: false)"
    return text
