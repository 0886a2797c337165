"""The service as a process, with the fake model: `python -m tests.service.server`."""

from __future__ import annotations

from models.bundle import load_bundle
from service.cli.serve import start
from service.settings import load_settings
from tests.service.fakes import FakeRuntime

if __name__ == "__main__":
    settings = load_settings()
    start(settings, FakeRuntime(load_bundle(settings.bundle)))
