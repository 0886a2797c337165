"""Changes to relations drawn from a seed, and what has to be there after them, whatever happens to the service."""

from __future__ import annotations

import random
import threading

import httpx

Change = dict[str, str | None]
"""Descriptions by id, None where the relation is to be deleted."""


class Writer:
    """Changes relations of its own, one request after the other, and remembers what was acknowledged."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._random = random.Random(f"{name} {seed}")
        self._made = 0
        self._version = 0
        self.known: Change = {}
        self.pending: Change = {}
        """What a request that was not answered may or may not have done, all of it or nothing."""

    def work(self, url: str, acknowledged: threading.Semaphore, enough: threading.Event) -> None:
        """Send requests until there are enough or the connection breaks."""
        with httpx.Client(base_url=url, timeout=120) as client:
            while not enough.is_set():
                self.pending = self._draw()
                try:
                    while self._send(client).status_code == 503:
                        # Whether it was done is not known, and to repeat it is safe.
                        continue
                except httpx.TransportError:
                    return
                self.known |= self.pending
                self.pending = {}
                acknowledged.release()

    def check(self, found: dict[str, str]) -> None:
        """Compare what is registered with what was acknowledged."""
        before = {key: self.known.get(key) for key in self.pending}
        now = {key: found.get(key) for key in self.pending}
        assert now in (before, self.pending), "half of a request was done"
        for key, description in self.known.items():
            if key not in self.pending:
                assert found.get(key) == description, key
        mine = {key for key in found if key.startswith(f"{self._name}-")}
        assert mine <= self.known.keys() | self.pending.keys()
        self.known |= now
        self.pending = {}

    def _draw(self) -> Change:
        live = [key for key, description in self.known.items() if description is not None]
        kind = self._random.choice(["post", "batch", "replace", "delete"] if live else ["post", "batch"])
        if kind in ("post", "batch"):
            keys = [f"{self._name}-{self._made + i}" for i in range(1 if kind == "post" else 4)]
            self._made += len(keys)
            return {key: f"It is {key}." for key in keys}
        key = self._random.choice(live)
        return {key: None if kind == "delete" else f"It is {key}, number {self._random.random()}."}

    def _send(self, client: httpx.Client) -> httpx.Response:
        [key, *more] = self.pending
        description = self.pending[key]
        if more:
            items = [{"id": key, "name": "x", "description": text} for key, text in self.pending.items()]
            response = client.post("/relations/batch", json={"items": items})
        elif description is None:
            response = client.delete(f"/relations/{key}")
        elif key in self.known:
            response = client.put(f"/relations/{key}", json={"name": "x", "description": description})
        else:
            response = client.post("/relations", json={"id": key, "name": "x", "description": description})
        # Gone already where the request before this one was done without an answer.
        allowed = (204, 404, 503) if description is None else (200, 201, 503)
        assert response.status_code in allowed, response.text
        if response.status_code == 201:
            body = response.json()
            version = min(item["version"] for item in body["items"]) if more else body["version"]
            assert version > self._version, "versions went back"
            self._version = version
        return response


def registered(url: str) -> dict[str, str]:
    """Descriptions of all relations by id."""
    found: dict[str, str] = {}
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        page = httpx.get(f"{url}/relations", params=query, timeout=60).json()
        found |= {item["id"]: item["description"] for item in page["items"]}
        if page["next_cursor"] is None:
            assert len(found) == page["total"]
            return found
        query["cursor"] = page["next_cursor"]
