"""The ledger's stream into the archive: a record that is no row is set aside whole and stops nobody."""

import json
import uuid


def test_a_poisoned_record_lands_whole_in_the_bucket_and_stops_nobody(cloud, http, key):
    dynamodb, table = cloud.client("dynamodb"), cloud.outputs["LedgerTable"]
    before = cloud.predict(http).json()["usage"]["call_id"]
    poison = {"call_id": {"S": f"poison-{uuid.uuid4()}"}, "note": {"S": "not a usage row"}}
    dynamodb.put_item(TableName=table, Item=poison)
    after = cloud.predict(http).json()["usage"]["call_id"]

    def archived():
        return {row["call_id"] for row in cloud.archived(key["key_id"])}

    cloud.eventually(lambda: {before, after} <= archived())
    (found,) = cloud.eventually(lambda: list(cloud.objects("aws/lambda/").values()))
    (record,) = json.loads(json.loads(found)["payload"])["Records"]
    assert record["dynamodb"]["NewImage"] == poison
    later = cloud.predict(http).json()["usage"]["call_id"]
    cloud.eventually(lambda: later in archived())
    dynamodb.delete_item(TableName=table, Key={"call_id": poison["call_id"]})
