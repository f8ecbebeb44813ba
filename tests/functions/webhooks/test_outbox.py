"""Both outboxes, their vaults and the courier: delivered at least once, under one id, over crashes."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.access.keys import Plan
from functions.aws.service import dynamodb_in, parameters_in
from functions.metering.terms import CAP, QUOTA
from functions.metering.usage import UsageBucket
from functions.webhooks import delivery as delivering
from functions.webhooks.alerts import Used, alerts, announce, counted
from functions.webhooks.delivery import LONGEST_MS, MOST_ATTEMPTS, Courier, wait_ms
from functions.webhooks.dynamodb import DynamoDbOutbox, ParameterVault
from functions.webhooks.outbox import DELIVERED, FAILED, WAITING, Endpoint, Message
from functions.webhooks.sending import Sent
from functions.webhooks.signing import Secret, dumped, new_secret
from functions.webhooks.sqlite import FileVault, SqliteOutbox

REGION = "eu-west-1"
NOW = 1_795_435_200_000
MESSAGE = Message("msg_1", "quota.threshold", "cus_a", NOW, {"percent": 50})


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
        ssm = boto3.client("ssm", REGION, endpoint_url=url)
        # Its first one takes moto seconds. All of a process's moto servers share what they hold.
        ssm.put_parameter(Name="/first", Value="x", Type="String", Overwrite=True)
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(params=["sqlite", "dynamodb"])
def stores(request, tmp_path, monkeypatch):
    """Opens (outbox, vault), again and again."""
    if request.param == "sqlite":
        return lambda: (SqliteOutbox(str(tmp_path / "o.db")), FileVault(tmp_path / "o.key"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("moto"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    boto3.client("dynamodb", REGION).create_table(
        TableName=tmp_path.name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("kind", "id")],
        KeySchema=[
            {"AttributeName": "kind", "KeyType": "HASH"},
            {"AttributeName": "id", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return lambda: (
        DynamoDbOutbox(tmp_path.name, dynamodb_in(REGION)),
        ParameterVault(f"/{tmp_path.name}/", parameters_in(REGION)),
    )


@pytest.fixture
def outbox(stores):
    opened = stores()[0]
    yield opened
    opened.close()


@pytest.fixture
def add(stores, outbox):
    def make(number=1, customer="", events=()):
        kept = stores()[1].keep(f"whk_{number}", dumped([Secret(new_secret())]))
        endpoint = Endpoint(
            f"whk_{number}", f"https://{number}.example.com/", customer, events, kept, NOW + number
        )
        outbox.save(endpoint)
        return endpoint

    return make


@pytest.fixture
def courier(stores, monkeypatch):
    """A courier of a new process, whose posts get the statuses one asks for."""
    answers, sent = [], []

    def post(url, body, headers, trusted=None):
        sent.append((url, headers["webhook-id"], body))
        status = answers.pop(0) if answers else 200
        return Sent(status, f"HTTP status {status}")

    monkeypatch.setattr(delivering, "post", post)
    made = Courier(*stores())
    made.answers, made.sent = answers, sent
    return made


def test_a_message_goes_in_once_and_to_those_who_want_it(outbox, add):
    add(1), add(2, "cus_a"), add(3, "cus_b"), add(4, "", ("spend_cap.threshold",))
    assert announce([MESSAGE, MESSAGE], outbox) == 1
    assert [each.endpoint_id for each in outbox.due(NOW)] == ["whk_1", "whk_2"]
    add(5)
    assert announce([MESSAGE], outbox) == 0
    assert len(outbox.due(NOW)) == 2


def test_what_is_delivered_is_done(outbox, add, courier):
    add(1)
    announce([MESSAGE], outbox)
    (done,) = courier.send_due(NOW)
    assert (done.state, done.attempts) == (DELIVERED, 1)
    assert courier.send_due(NOW + LONGEST_MS) == []
    assert [each.state for each in outbox.deliveries()] == [DELIVERED]


def test_what_fails_is_sent_again_later_and_later_and_then_given_up(outbox, add, courier):
    add(1)
    announce([MESSAGE], outbox)
    courier.answers += [500, 0, 302] * MOST_ATTEMPTS
    now, waits = NOW, []
    while tried := courier.send_due(now):
        (one,) = tried
        assert courier.send_due(now) == []
        if one.state == FAILED:
            break
        waits.append(one.due_at - now)
        now = one.due_at
    assert one.attempts == MOST_ATTEMPTS
    assert waits[0] < waits[1] < waits[2] < 100_000
    assert 2 * 24 * 3600_000 < sum(waits) < 5 * 24 * 3600_000
    assert len({message_id for _, message_id, _ in courier.sent}) == 1
    assert courier.send_due(now + 10 * LONGEST_MS) == []


def test_what_was_sent_and_not_recorded_is_sent_again_under_its_id(outbox, add, courier, stores):
    """A crash between the answer and its record."""
    add(1)
    announce([MESSAGE], outbox)
    dying = Courier(*stores())
    dying._outbox.record = lambda delivery: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        dying.send_due(NOW)
    assert courier.send_due(NOW)[0].state == DELIVERED
    assert [message_id for _, message_id, _ in courier.sent] == ["msg_1", "msg_1"]


def test_a_secret_that_is_lost_keeps_no_other_message(stores, outbox, add, courier):
    lost, _ = add(1), add(2)
    announce([MESSAGE], outbox)
    outbox.save(lost._replace(secrets="nothing"))
    first, second = sorted(courier.send_due(NOW), key=lambda each: each.endpoint_id)
    assert (first.state, second.state) == (WAITING, DELIVERED)
    assert first.said.startswith("its secret can't be read")


def test_an_endpoint_that_is_gone_is_disabled(outbox, add, courier):
    add(1)
    announce([MESSAGE], outbox)
    courier.answers.append(410)
    assert courier.send_due(NOW)[0].state == FAILED
    assert "410" in outbox.endpoints()[0].disabled
    assert announce([MESSAGE._replace(message_id="msg_2")], outbox) == 1
    assert outbox.due(NOW) == []


def test_nothing_goes_to_an_endpoint_that_was_removed(outbox, add, courier):
    add(1)
    announce([MESSAGE], outbox)
    outbox.remove("whk_1")
    courier.send_due(NOW)
    assert courier.sent == [] and outbox.due(NOW + LONGEST_MS) == []


def test_no_secret_lies_in_clear(stores, outbox, add, tmp_path):
    endpoint = add(1)
    vault = stores()[1]
    secret = vault.reveal(endpoint.secrets)
    assert "whsec_" in secret
    assert "whsec_" not in endpoint.secrets
    for file in tmp_path.iterdir():
        assert b"whsec_" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
    again = vault.keep("whk_1", "whsec_other")
    assert vault.reveal(again) == "whsec_other"
    vault.forget(again)


def test_waits_have_jitter_and_a_bound():
    assert len({wait_ms(8) for _ in range(50)}) > 1
    assert all(LONGEST_MS <= wait_ms(number) <= LONGEST_MS * 1.2 for number in range(8, 20))


HARD = '[{"alert_at":[50,80,100],"quota":10,"since":0}]'
SOFT = '[{"alert_at":[90],"amounts":{"*/predict":[2000000000,500000000]},"cap":10000000000,"since":0}]'
PLANS = [Plan("hard", "hard@1", 0, 0, 0, HARD), Plan("soft", "soft@1", 0, 0, 0, "", SOFT)]


def test_each_percentage_is_told_once_from_when_it_is_reached():
    def percents(amount):
        used = [Used(QUOTA, "cus_a", "hard", "2026-11", amount)]
        return [message.data["percent"] for message in alerts(used, PLANS, NOW)]

    assert [percents(n) for n in (4, 5, 7, 8, 9, 10)] == [[], [50], [50], [50, 80], [50, 80], [50, 80, 100]]
    first, again = (next(alerts([Used(QUOTA, "c", "hard", "2026-11", n)], PLANS, NOW)) for n in (5, 6))
    assert first.message_id == again.message_id
    other = next(alerts([Used(QUOTA, "c", "hard", "2026-12", 5)], PLANS, NOW))
    assert other.message_id != first.message_id
    assert list(alerts([Used(QUOTA, "c", "gone", "2026-11", 10)], PLANS, NOW)) == []


def test_a_soft_cap_is_counted_from_usage():
    bucket = UsageBucket("cus_a", "soft@1", "sentiment", "1", "predict", "2026-11-23", 3, 6, NOW)
    other = bucket._replace(plan="hard@1")
    used = counted([bucket, other], PLANS)
    assert used == [Used(CAP, "cus_a", "soft", "2026-11", 9_000_000_000)]
    (message,) = alerts(used, PLANS, NOW)
    assert message.data == {
        "customer": "cus_a", "plan": "soft", "month": "2026-11", "percent": 90, "most": "10", "used": "9",
        "hard": False,
    }  # fmt: skip


def test_states_are_told_apart(outbox, add, courier):
    add(1), add(2)
    announce([MESSAGE], outbox)
    courier.answers += [500]
    courier.send_due(NOW)
    assert sorted(each.state for each in outbox.deliveries()) == [DELIVERED, WAITING]
