"""The deployed notifier, in this process: balances and outbox in tables, a receiver that really listens."""

import http.server
import threading
import time
from types import SimpleNamespace

import boto3
import pytest
from standardwebhooks.webhooks import Webhook

from functions.access.dynamodb import plan_item
from functions.access.keys import Plan
from functions.aws.service import dynamodb_in, parameters_in
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.usage import month_of
from functions.webhooks.dynamodb import DynamoDbOutbox, ParameterVault
from functions.webhooks.outbox import Endpoint
from functions.webhooks.sending import ALLOW_PRIVATE
from functions.webhooks.signing import Secret, dumped, new_secret

CONTEXT = SimpleNamespace(
    function_name="notify", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="request"
)
HARD = '[{"alert_at":[50,100],"quota":4,"since":0}]'


@pytest.fixture
def make_keyed(aws):
    made = []

    def make(variable, *keys):
        table = boto3.resource("dynamodb").create_table(
            TableName=f"{keys[0]}-{time.time_ns()}",
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ["HASH", "RANGE"], strict=True)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )
        made.append(table)
        aws.setenv(variable, table.name)
        return table.name

    yield make
    for table in made:
        table.delete()


@pytest.fixture
def receiver():
    came = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            came.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", came
    server.shutdown()
    thread.join()
    server.server_close()


def test_limits_that_are_reached_are_told_once(aws, access_table, make_keyed, load, receiver):
    url, came = receiver
    region = boto3.Session().region_name
    accounts = DynamoDbAccounts(
        make_keyed("PAYPHONE_ACCOUNTS_TABLE", "account", "entry"), dynamodb_in(region)
    )
    outbox = DynamoDbOutbox(make_keyed("PAYPHONE_WEBHOOKS_TABLE", "kind", "id"), dynamodb_in(region))
    boto3.client("ssm").put_parameter(
        Name="/first", Value="x", Type="String", Overwrite=True
    )  # moto is slow at it
    plan = plan_item(Plan("counted", "counted@1", 0, 0, 0, HARD), "usage-plan")
    boto3.client("dynamodb").put_item(TableName=access_table.name, Item=plan)
    month = month_of(time.time_ns() // 1_000_000)
    notify = load("notify")
    assert notify.handler({}, CONTEXT) == {"new": 0, "delivered": 0, "failed": 0}

    secret = new_secret()
    kept = ParameterVault("/test/webhooks/", parameters_in(region)).keep("whk_1", dumped([Secret(secret)]))
    outbox.save(Endpoint("whk_1", url, "", (), kept, 1))
    accounts.count(f"quota#cus_a#counted#{month}", -2)
    accounts.count("quota#cus_a#counted#2020-01", -4)
    refused = notify.handler({}, CONTEXT)  # http, and to this machine: not without being told so
    assert (refused, came) == ({"new": 1, "delivered": 0, "failed": 1}, [])

    aws.setenv(ALLOW_PRIVATE, "1")
    accounts.count(f"quota#cus_a#counted#{month}", -2)
    assert notify.handler({}, CONTEXT) == {"new": 1, "delivered": 1, "failed": 0}
    ((headers, body),) = came
    assert Webhook(secret).verify(body, headers)["data"] == {
        "customer": "cus_a", "plan": "counted", "month": month, "percent": 100, "most": "4", "used": "4",
        "hard": True,
    }  # fmt: skip
    assert notify.handler({}, CONTEXT) == {"new": 0, "delivered": 0, "failed": 0}  # the first waits its time
