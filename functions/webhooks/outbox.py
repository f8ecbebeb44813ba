"""The outbox: who wants to hear of what, and what is still to be delivered to whom.

A message is put in once, by its id, with a delivery to each endpoint that wants it, in one step. What
is in stays in until it is delivered or given up, over crashes too: so a receiver hears of it at least once,
under one webhook-id. Secrets lie in it only as a Vault keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"


class Endpoint(NamedTuple):
    """A receiver. `customer` is whose messages it gets, "" for everybody's; `events` are types, () for all.

    `secrets` is what the vault gave for them. `disabled` says why nothing is sent any more, "" if it is.
    """

    endpoint_id: str
    url: str
    customer: str
    events: tuple[str, ...]
    secrets: str
    created_at: int
    disabled: str = ""

    def wants(self, message: Message) -> bool:
        """Whether this message is for it."""
        mine = self.customer in ("", message.customer)
        return not self.disabled and mine and (not self.events or message.type in self.events)


class Message(NamedTuple):
    """Something that happened. `made_at` is in milliseconds since 1970 UTC."""

    message_id: str
    type: str
    customer: str
    made_at: int
    data: dict[str, Any]

    @property
    def body(self) -> bytes:
        """What is sent, as Standard Webhooks recommends it: type, timestamp, data."""
        from datetime import UTC, datetime

        at = datetime.fromtimestamp(self.made_at // 1000, UTC).isoformat().replace("+00:00", "Z")
        return json.dumps(
            {"type": self.type, "timestamp": at, "data": self.data}, separators=(",", ":")
        ).encode()


class Delivery(NamedTuple):
    """A message on its way to an endpoint; `said` is what came of the last attempt."""

    message_id: str
    endpoint_id: str
    body: bytes
    due_at: int
    attempts: int = 0
    state: str = WAITING
    said: str = ""


class Vault(Protocol):
    """Where secrets are kept encrypted."""

    def keep(self, name: str, secret: str) -> str:
        """Keep a secret under a name; gives what `reveal` takes, which is no secret."""

    def reveal(self, kept: str) -> str:
        """The secret that was kept."""

    def forget(self, kept: str) -> None:
        """Drop it."""


class Outbox(Protocol):
    """Endpoints and deliveries."""

    def endpoints(self) -> list[Endpoint]:
        """All of them, oldest first."""

    def save(self, endpoint: Endpoint) -> None:
        """Add it, or put it in the place of the one with its id."""

    def remove(self, endpoint_id: str) -> None:
        """Drop it, and what is still on its way to it."""

    def put(self, message: Message, to: Sequence[Endpoint]) -> bool:
        """Put a message in, durably; False if it was put in before, and nothing changes."""

    def due(self, now_ms: int) -> list[Delivery]:
        """What waits to be sent by now, the oldest first, not without end."""

    def record(self, delivery: Delivery) -> None:
        """Keep what came of an attempt."""

    def deliveries(self) -> list[Delivery]:
        """The latest of all states, for a look at them."""
