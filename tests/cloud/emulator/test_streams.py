import json
import time

NAMES = [f"call-{n:03}" for n in range(40)]
POISON = "poison"


def eventually(check, seconds=60):
    """What `check` gives once it gives something; the last try's answer when time is up."""
    deadline = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def seen(stack):
    items = stack.client("dynamodb").scan(TableName=stack.outputs["Seen"])["Items"]
    return {item["pk"]["S"]: int(item["times"]["N"]) for item in items}


def failures(stack):
    s3 = stack.client("s3")
    names = [item["Key"] for item in s3.list_objects_v2(Bucket="failures").get("Contents", [])]
    return {name: json.loads(s3.get_object(Bucket="failures", Key=name)["Body"].read()) for name in names}


def test_a_poisoned_record_lands_whole_in_s3_and_stops_nobody(stack):
    source, functions = stack.client("dynamodb"), stack.client("lambda")
    mappings = [stack.outputs["ReportingMapping"], stack.outputs["RaisingMapping"]]
    for mapping in mappings:  # so that all of them come as one batch
        functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    for name in (*NAMES[:20], POISON, *NAMES[20:]):
        item = {"pk": {"S": name}, "row": {"S": f"row of {name}"}}
        source.put_item(TableName=stack.outputs["Source"], Item=item)
    for mapping in mappings:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)

    expected = {f"{how}:{name}" for how in ("report", "raise") for name in NAMES}
    assert eventually(lambda: set(seen(stack)) == expected)
    discarded = eventually(lambda: len(failures(stack)) == 2 and failures(stack))
    assert discarded
    for name, record in discarded.items():
        assert name.startswith("aws/lambda/")
        assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert record["DDBStreamBatchInfo"]["batchSize"] == 1
        (row,) = json.loads(record["payload"])["Records"]
        assert row["dynamodb"]["NewImage"] == {"pk": {"S": POISON}, "row": {"S": f"row of {POISON}"}}


def test_a_reported_failure_repeats_only_what_comes_after_it(stack):
    eventually(lambda: len(failures(stack)) == 2)
    times = seen(stack)
    # Rows before the poisoned one are done with at once; those after it are tried again with it.
    assert all(times[f"report:{name}"] == 1 for name in NAMES[:20])
    assert max(times[f"report:{name}"] for name in NAMES[20:]) > 1


def test_a_healthy_batch_goes_on_behind_the_poisoned_one(stack):
    late = {"pk": {"S": "late"}, "row": {"S": "late"}}
    stack.client("dynamodb").put_item(TableName=stack.outputs["Source"], Item=late)
    assert eventually(lambda: {"report:late", "raise:late"} <= set(seen(stack)))
    assert seen(stack)["report:late"] == seen(stack)["raise:late"] == 1
