"""Relations of a running service, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from models.relation import Relation

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_PATTERN = "[!-~]+"
"""Of what can be sent as a key."""

PAGE = 500


class RefusedError(Exception):
    """The service answered with an error: `status` is its code, `field` what is at fault, if a field is."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class UnreachableError(Exception):
    """No answer came; the message says what to do."""


class RelationClient:
    """Speaks to one service; close it, or use it as a context manager."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        timeout_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        key: str | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, transport=transport, headers=headers)
        self.url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def pages(self) -> Iterator[tuple[list[Relation], int]]:
        """All relations by id, a page at a time, each with how many there are in all.

        Raises:
            RefusedError: the service answered with an error.
            UnreachableError: no answer came.
        """
        cursor = None
        while True:
            query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
            page = self._send("GET", "/relations", params=query).json()
            yield [Relation.from_json(row) for row in page["items"]], page["total"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def add(self, name: str, description: str, relation_id: str | None = None, paraphrases: Sequence[str] = ()) -> str:
        """Register a relation; its id. Raises as `pages`."""
        told = body(Relation("", name, description, tuple(paraphrases)))
        if relation_id:
            told["id"] = relation_id
        return str(self._send("POST", "/relations", json=told).json()["id"])

    def get(self, relation_id: str) -> Relation | None:
        """A relation, None where there is none of that id. Raises as `pages`."""
        try:
            return Relation.from_json(self._send("GET", f"/relations/{quote(relation_id, safe='')}").json())
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def add_all(self, relations: Sequence[Relation], replace: bool = False) -> int:
        """Register relations, all or none; how many are new. Raises as `pages`.

        Args:
            relations: no id twice, and no more than the service takes at once.
            replace: whether to put a relation in place of one of the same id that has other content.
        """
        told: dict[str, Any] = {"items": [{"id": relation.id, **body(relation)} for relation in relations]}
        if replace:
            told["replace"] = True
        return int(self._send("POST", "/relations/batch", json=told).json()["created"])

    def replace(self, relation: Relation) -> bool:
        """Register a relation, in place of the one of the same id if there is one.

        Returns:
            Whether there was none.

        Raises:
            RefusedError: the service answered with an error.
            UnreachableError: no answer came.
        """
        path = f"/relations/{quote(relation.id, safe='')}"
        return self._send("PUT", path, json=body(relation)).status_code == 201

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"no answer from {self.url} ({error}): start the service with `emma serve`, or name its --url"
            ) from error
        try:
            answer = response.json()
            if response.is_success:
                return response
            message, field = str(answer["error"]["message"]), answer["error"].get("field")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreachableError(f"{self.url} answered {response.status_code}, but not as EMMA does") from error
        raise RefusedError(response.status_code, message, field)


def body(relation: Relation) -> dict[str, Any]:
    """What the service is told of a relation besides its id; what is empty is left out."""
    return {name: value for name, value in relation.to_json().items() if value and name != "id"}
