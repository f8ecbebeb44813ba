"""Delivery: what is due is signed and sent; what fails is tried again for days, further and further apart.

The waits are 5 s, 20 s, 80 s … up to 8 hours, each up to a fifth longer at random, so that receivers which
were down are not hit by everybody at once. After `MOST_ATTEMPTS`, some three days, a message is given up. An
endpoint that answers 410 Gone is disabled, as Standard Webhooks asks.
"""

from __future__ import annotations

import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from random import random

from functions.webhooks.outbox import DELIVERED, FAILED, Delivery, Endpoint, Outbox, Vault
from functions.webhooks.sending import Sent, post
from functions.webhooks.signing import headers, loaded

FIRST_MS, LONGEST_MS = 5_000, 8 * 3600 * 1000
MOST_ATTEMPTS = 15
AT_ONCE = 8
GONE = 410

log = logging.getLogger("payphone.webhooks")


class Courier:
    """Sends what an outbox holds. `trusted` are other certificates than the system's."""

    def __init__(self, outbox: Outbox, vault: Vault, trusted: ssl.SSLContext | None = None) -> None:
        self._outbox, self._vault, self._trusted = outbox, vault, trusted

    def send_due(self, now_ms: int) -> list[Delivery]:
        """Try everything that is due once; gives it as it stands now."""
        due = self._outbox.due(now_ms)
        if not due:
            return []
        endpoints = {endpoint.endpoint_id: endpoint for endpoint in self._outbox.endpoints()}
        with ThreadPoolExecutor(min(AT_ONCE, len(due)), thread_name_prefix="webhook") as pool:
            return list(pool.map(lambda one: self._try(one, endpoints.get(one.endpoint_id), now_ms), due))

    def send(self, endpoint: Endpoint, message_id: str, body: bytes, now_ms: int) -> Sent:
        """Sign one message and send it once."""
        held = loaded(self._vault.reveal(endpoint.secrets))
        return post(endpoint.url, body, headers(held, message_id, body, now_ms), self._trusted)

    def _try(self, delivery: Delivery, endpoint: Endpoint | None, now_ms: int) -> Delivery:
        if endpoint is None or endpoint.disabled:
            ended = delivery._replace(state=FAILED, said="the endpoint was removed or disabled")
            self._outbox.record(ended)
            return ended
        try:
            sent = self.send(endpoint, delivery.message_id, delivery.body, now_ms)
        except Exception as error:  # of the vault: one lost secret must not keep the others' messages
            sent = Sent(0, f"its secret can't be read: {type(error).__name__}")
        attempts = delivery.attempts + 1
        tried = delivery._replace(attempts=attempts, said=sent.said)
        if sent.delivered:
            tried = tried._replace(state=DELIVERED)
        elif sent.status == GONE or attempts >= MOST_ATTEMPTS:
            tried = tried._replace(state=FAILED)
        else:
            tried = tried._replace(due_at=now_ms + wait_ms(attempts))
        self._outbox.record(tried)
        if sent.status == GONE:
            self._outbox.save(endpoint._replace(disabled="it answered 410 Gone"))
        if not sent.delivered:  # neither body nor URL: a URL may hold a token
            log.warning("webhook %s to %s: %s", delivery.message_id, endpoint.endpoint_id, sent.said)
        return tried


def wait_ms(attempts: int) -> int:
    """How long to wait after so many attempts."""
    return int(min(FIRST_MS * 4 ** (attempts - 1), LONGEST_MS) * (1 + random() / 5))  # noqa: S311
