from __future__ import annotations

import json

import pytest

from models.text import InputError
from service import errors


def subclasses(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(each for direct in base.__subclasses__() for each in subclasses(direct))]


@pytest.mark.parametrize("kind", [x for x in subclasses(errors.ServiceError) if x is not errors.ServiceError])
def test_every_error_has_its_row_in_the_table(kind: type[Exception]) -> None:
    assert kind in errors.STATUS


@pytest.mark.parametrize("kind", subclasses(errors.ServiceError))
def test_every_error_is_in_the_tree_that_the_module_opens_with(kind: type[Exception]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


def test_an_error_that_is_not_in_the_table_is_an_internal_one() -> None:
    assert errors.status_of(KeyError("x")) == (500, "internal")


def test_a_subclass_takes_the_row_of_its_base() -> None:
    class SpecialError(InputError):
        pass

    assert errors.status_of(SpecialError("head", "x")) == (422, "invalid")


@pytest.mark.parametrize("status", [429, 503])
def test_a_status_that_invites_to_come_back_says_when(status: int) -> None:
    assert errors.error_response(status, "x", "y").headers["Retry-After"] == "1"


def test_who_has_no_key_is_told_how_one_is_sent() -> None:
    assert errors.error_response(401, "x", "y").headers["WWW-Authenticate"] == "Bearer"


def test_half_a_surrogate_pair_from_the_client_can_be_answered() -> None:
    response = errors.error_response(422, "invalid", "field '\ud800' is unknown", "\ud800")
    assert json.loads(bytes(response.body))["error"]["field"] == "\ud800"


def test_an_internal_error_says_only_the_request_id() -> None:
    body = json.loads(bytes(errors.internal_error_response("abc").body))["error"]
    assert body == {
        "type": "internal",
        "message": "an error inside the service; its log has it under request id abc",
    }


def test_many_unknown_ids_are_counted_and_five_are_named() -> None:
    error = errors.UnknownRelationsError([f"x{i}" for i in range(8)])
    assert "'x4' and 3 more" in error.message
    assert "x5" not in error.message


def test_documented_responses_have_the_error_body() -> None:
    documented = errors.responses(404)
    assert set(documented) == {404, 500, 503}
    assert all(row["model"] is errors.ErrorResponse for row in documented.values())
