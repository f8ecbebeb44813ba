"""Customers' identities of a stage, in a table that no function may read.

Beside each customer an item holds his e-mail address, so that no two have the same. Erasing removes both
from the table; point-in-time recovery still has them for its 35 days.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from functions.customers.record import Customer, register
from functions.customers.sqlite import DuplicateEmail, UnknownCustomer

UNTAKEN = "attribute_not_exists(id)"


class StageCustomers:
    """Customers of one stage. Other failures are botocore's, as they come."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        """`dynamodb` is a boto3 client; the table's key is `id`."""
        self._dynamodb, self._table = dynamodb, table

    def add(self, name: str, email: str) -> Customer:
        """Register a customer; InvalidCustomer, DuplicateEmail."""
        customer = register(name, email, time.time_ns() // 1_000_000)
        item = {
            "id": {"S": customer.customer_id},
            "name": {"S": customer.name},
            "email": {"S": customer.email},
            "created_at": {"N": str(customer.created_at)},
        }
        claim = {"id": {"S": _claim(customer.email)}, "customer": {"S": customer.customer_id}}
        try:
            self._dynamodb.transact_write_items(
                TransactItems=[
                    {"Put": {"TableName": self._table, "Item": new, "ConditionExpression": UNTAKEN}}
                    for new in (item, claim)
                ]
            )
        except self._dynamodb.exceptions.TransactionCanceledException:
            other = self._get(_claim(customer.email))
            if other is None:
                raise
            taken_by = other["customer"]["S"]
            raise DuplicateEmail(f"{customer.email} is the address of {taken_by} already") from None
        return customer

    def get(self, customer_id: str) -> Customer:
        """One identity; UnknownCustomer."""
        item = self._get(customer_id) if customer_id.startswith("cus_") else None
        if item is None:
            raise UnknownCustomer(customer_id)
        return _customer(item)

    def list(self) -> Sequence[Customer]:
        """All identities, oldest first."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="begins_with(id, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": "cus_"}},
            ConsistentRead=True,
        )
        found = [_customer(item) for page in pages for item in page["Items"]]
        return sorted(found, key=lambda customer: (customer.created_at, customer.customer_id))

    def erase(self, customer_id: str) -> None:
        """Remove an identity; its pseudonym stays in usage and on invoices. UnknownCustomer.

        Keys go on working: revoke them first if they should not.
        """
        customer = self.get(customer_id)
        self._dynamodb.transact_write_items(
            TransactItems=[
                {"Delete": {"TableName": self._table, "Key": {"id": {"S": gone}}}}
                for gone in (customer_id, _claim(customer.email))
            ]
        )

    def _get(self, item_id: str) -> dict[str, Any] | None:
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"id": {"S": item_id}}, ConsistentRead=True
        )
        found: dict[str, Any] | None = answer.get("Item")
        return found


def _claim(email: str) -> str:
    return f"email#{email.casefold()}"


def _customer(item: dict[str, Any]) -> Customer:
    return Customer(item["id"]["S"], item["name"]["S"], item["email"]["S"], int(item["created_at"]["N"]))
