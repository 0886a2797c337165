from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import models
import service
from benchmarks import serving

MODULES = sorted(
    module.name
    for package in (models, service, serving)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if "migrations" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_in_every_package() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tried = {name for name in MODULES if any(case.examples for case in finder.find(importlib.import_module(name)))}
    assert {name.split(".")[0] for name in tried} == {"models", "service", "benchmarks"}
