"""One local AWS for the whole session, and the real app deployed to it once, as an operator does it."""

import gzip
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import boto3
import httpx
import pytest

from infra.workspace import Workspace
from models.manifest import describe_file

sys.path.insert(0, str(Path(__file__).parent / "emulator"))  # modules there run by path

from provision import prepare
from server import REGION, running

SERVICE = """
[service]
name = "Test"
currency = "USD"
[models]
serve = %s
[aws]
stage = "%s"
%s
[plans.open]
price_per_call = 0.002
[plans.slow]
price_per_call = 0.002
rate = 0.5
burst = 3
[plans.small]
price_per_call = 0.002
quota = 5
[plans.edited]
price_per_call = 0.002
[plans.former]
price_per_call = 0.002
[plans.paid]
price_per_call = 0.002
prepaid = true
[plans.counted]
price_per_call = 0.002
quota = 4
hard_limits = true
[plans.gone]
price_per_call = 0.002
rate = 1000
burst = 1000
"""
# And so under the runtime client that AWS provides, too.
ON_S3 = """
[aws.models.{}]
artifact = "s3"
runtime_client = "aws"
"""
LARGE = 20_000_000  # bytes: three ranges, read at once
REVIEW = "A wonderful little film."


class Cloud:
    """A stage, deployed by the `payphone` command, and looked into with boto3."""

    def __init__(self, aws, stage, folder, manifest, files, serve=("sentiment",), on_s3=()):
        self.aws, self.stage, self.manifest, self.files = aws, stage, manifest, files
        self.state, self.service = folder / "state", folder / "service.toml"
        self.service.write_text(SERVICE % (json.dumps(serve), stage, "".join(map(ON_S3.format, on_s3))))
        self.registry = Workspace(self.state).registry()
        self.registry.publish(manifest, files)
        self.outputs, self._read = {}, {}

    def publish(self, *labels):
        """Publish the model once more, with other labels, and make that version live on this machine."""
        published = self.registry.publish(self.manifest._replace(labels=labels), self.files)
        self.registry.promote("sentiment", published.version)
        return published.version

    def publish_large(self, name):
        """Publish the model under another name, with more behind its end, which LiteRT does not read."""
        data = self.files["model.tflite"] + random.Random(0).randbytes(LARGE)
        manifest = self.manifest._replace(name=name, model=describe_file("model.tflite", data))
        self.registry.publish(manifest, {**self.files, "model.tflite": data})

    def command(self, *arguments):
        """One run of `payphone`, whatever comes of it."""
        places = ["--state", self.state, "--service", self.service]
        line = [sys.executable, "-c", "from infra.cli.main import app; app()", *places, *arguments]
        return subprocess.run(line, env=self.aws.environment(), capture_output=True, text=True, check=False)

    def run(self, *arguments):
        """One run of `payphone … --json`; gives the document."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def deploy(self):
        """`payphone deploy`."""
        deployed = self.run("deploy")
        self.outputs = deployed["outputs"]
        return deployed

    def customer(self):
        """A new customer's id."""
        name = f"cloud-{time.monotonic_ns()}"
        return self.run("customer", "add", name, f"{name}@example.com", "--stage", self.stage)["customer"]

    def issue(self, plan="open", customer=None, *more):
        """A new key: what the command says."""
        of = customer or self.customer()
        return self.run("key", "issue", of, "--plan", plan, "--stage", self.stage, *more)

    @property
    def url(self):
        """Where the stage answers."""
        return self.aws.url(self.outputs["ApiId"], self.stage)

    def http(self, key=None, **headers):
        """A client of the stage."""
        known = {"x-api-key": key} if key else {}
        return httpx.Client(base_url=self.url, headers={**known, **headers}, timeout=60)

    @staticmethod
    def predict(client, **options):
        """One call through a client, of the same text if no body is given."""
        body = {} if {"content", "json"} & set(options) else {"json": {"instances": [REVIEW]}}
        return client.post("/v1/models/sentiment/predict", **body, **options)

    @staticmethod
    def eventually(check, seconds=60):
        """What `check` gives once it gives something; fails if it never does."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, f"nothing after {seconds} s"
            time.sleep(0.05)
        return found

    def client(self, service):
        """A boto3 client."""
        access = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.aws.endpoint, region_name=REGION, **access)

    def rows(self, key_id):
        """The ledger's rows of a key, as DynamoDB has them."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.outputs["LedgerTable"])
        return [item for page in pages for item in page["Items"] if item["key_id"]["S"] == key_id]

    def names(self, prefix):
        """Names of what lies in the archive bucket below a prefix."""
        pages = self.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.outputs["ArchiveBucket"], Prefix=prefix)
        return [entry["Key"] for page in found for entry in page.get("Contents", ())]

    def objects(self, prefix):
        """What lies there, by name; objects never change, so each is read once."""
        s3, bucket = self.client("s3"), self.outputs["ArchiveBucket"]
        for name in self.names(prefix):
            if name not in self._read:
                self._read[name] = s3.get_object(Bucket=bucket, Key=name)["Body"].read()
        return {name: data for name, data in self._read.items() if name.startswith(prefix)}

    def archived(self, key_id):
        """The archive's rows of a key, every revision of each."""
        lines = (
            line
            for name, data in self.objects("usage/").items()
            if name.endswith(".jsonl.gz")
            for line in gzip.decompress(data).splitlines()
        )
        return [row for row in map(json.loads, lines) if row.get("key_id") == key_id]

    def access_log(self):
        """The gateway's lines, by attempt."""
        lines = b"".join(self.objects("access-log/").values()).splitlines()
        return {line["attempt_id"]: line for line in map(json.loads, lines)}


@pytest.fixture(scope="session")
def tools():
    return prepare()


@pytest.fixture(scope="session")
def aws(tools):
    with running(tools) as started:
        yield started


@pytest.fixture(scope="session")
def make_cloud(sentiment, sentiment_workspace, tmp_path_factory):
    """Prepare a stage on a local AWS, not deployed yet."""

    registry, manifest = sentiment_workspace.registry(), sentiment.manifest
    files = {ref.name: registry.read(manifest, ref.name) for ref in manifest.files}

    def make(aws, stage="test", **more):
        return Cloud(aws, stage, tmp_path_factory.mktemp("cloud"), manifest, files, **more)

    return make


@pytest.fixture(scope="session")
def cloud(aws, make_cloud):
    """The deployed stage that the tests share, of three models: trained, brought along, and on S3."""
    made = make_cloud(aws, serve=("sentiment", "ids", "large"), on_s3=("large",))
    brought = made.state / "brought.tflite"
    brought.write_bytes(made.files["model.tflite"])
    made.run("model", "add", str(brought), "--name", "ids", "--labels", "negative,positive")
    made.publish_large("large")
    made.deploy()
    return made


@pytest.fixture(scope="module")
def key(cloud):
    """A key without limits, of a customer of its own: what `key issue` says."""
    return cloud.issue()


@pytest.fixture
def http(cloud, key):
    """A client with that key."""
    with cloud.http(key["key"]) as client:
        yield client
