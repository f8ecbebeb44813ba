"""Every ledger under contract, by name: how a process opens the one at an address.

As a script it is a second process that appends: `python ledgers.py NAME ADDRESS` reads events as
JSON lines from stdin, prints "ready", appends all and prints one line per outcome.
"""

import json
import sys

from functions.aws.service import dynamodb_in
from functions.metering.dynamodb import DynamoDbLedger
from functions.metering.event import UsageEvent
from functions.metering.sqlite import SqliteLedger

LEDGERS = {
    "sqlite": SqliteLedger,
    "dynamodb": lambda table: DynamoDbLedger(table, dynamodb_in("eu-west-1"), deadline_ms=60_000),
}

if __name__ == "__main__":
    name, address = sys.argv[1:]
    events = [UsageEvent(**json.loads(line)) for line in sys.stdin]
    ledger = LEDGERS[name](address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    tickets = [ledger.append(event._replace(attempts=tuple(event.attempts))) for event in events]
    for ticket in tickets:
        sys.stdout.write(f"{type(ticket.outcome()).__name__}\n")
    ledger.close()
