"""Every ledger under contract, by name: how a process opens the one at an address.

As a script it is a second process that appends: `python ledgers.py NAME ADDRESS [ACCOUNT AMOUNT]` reads
events as JSON lines from stdin, prints "ready", appends all and prints one line per outcome.
"""

import json
import sys

from functions.aws.service import dynamodb_in
from functions.metering.dynamodb import DynamoDbLedger
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.event import UsageEvent
from functions.metering.ledger import Hold
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_accounts import SqliteAccounts

REGION = "eu-west-1"

LEDGERS = {
    "sqlite": SqliteLedger,
    "sqlite in turn": lambda path: SqliteLedger(path, in_turn=True),
    "dynamodb": lambda table: DynamoDbLedger(table, dynamodb_in(REGION), 60_000, f"{table}-accounts"),
}
ACCOUNTS = {
    "sqlite": SqliteAccounts,
    "sqlite in turn": SqliteAccounts,
    "dynamodb": lambda table: DynamoDbAccounts(f"{table}-accounts", dynamodb_in(REGION)),
}

if __name__ == "__main__":
    name, address, *held = sys.argv[1:]
    events = [UsageEvent(**json.loads(line)) for line in sys.stdin]
    hold = Hold(held[0], int(held[1])) if held else None
    ledger = LEDGERS[name](address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    tickets = [
        ledger.append(event._replace(attempts=tuple(event.attempts)), (lambda row: [hold]) if hold else None)
        for event in events
    ]
    for ticket in tickets:
        sys.stdout.write(f"{type(ticket.outcome()).__name__}\n")
        sys.stdout.flush()
    ledger.close()
