from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import service

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(service.__path__, "service.") if "migrations" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert sum(len(case.examples) for name in MODULES for case in finder.find(importlib.import_module(name))) >= 5
