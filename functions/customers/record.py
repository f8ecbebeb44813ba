"""Customer: a name and an e-mail address under the pseudonym that keys, usage and invoices carry."""

from __future__ import annotations

import re
import secrets
import string
from typing import NamedTuple

LONGEST_NAME = 200
LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")


class Customer(NamedTuple):
    """A customer's identity; `created_at` is in milliseconds since 1970 UTC."""

    customer_id: str
    name: str
    email: str
    created_at: int


class InvalidCustomer(ValueError):
    """The name or address can't be used; the message says what was expected."""


def register(name: str, email: str, now_ms: int) -> Customer:
    """Make a customer under a new random pseudonym; InvalidCustomer."""
    name, email = name.strip(), email.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidCustomer(
            f"a name of 1 to {LONGEST_NAME} printable characters was expected, not {name!r}"
        )
    if len(email) > LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise InvalidCustomer(f"an e-mail address such as ada@example.com was expected, not {email!r}")
    letters = string.ascii_letters + string.digits
    customer_id = "cus_" + "".join(secrets.choice(letters) for _ in range(16))
    return Customer(customer_id, name, email, now_ms)
