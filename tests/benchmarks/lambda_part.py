"""The handler: ours as deployed, beside the usual one and one that does nothing.

All are fed one REST proxy event of 5 kB as API Gateway sends it, with the same model in those that have
one. Ours runs from its built zip and layers, as deployed: under its own runtime client, started as Lambda
starts a wrapper script. The others run under the real `awslambdaric`, and for comparison ours does, too, and
a null handler under our client. DynamoDB is a stand-in over TLS that answers at once (`dynamodb.py`), so
what is compared is the function's own CPU time, all of its process. Nothing is what the null handler
under `awslambdaric` costs, which is what any Python function has to pay that leaves Lambda as it is.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import NamedTuple

from functions.access.dynamodb import plan_item, record_item
from functions.access.keys import KeyRecord, Plan
from layers import bundle, model, runtime
from tests.benchmarks import iris, runtime_api
from tests.benchmarks.installed import name_of, site_packages, size_of
from tests.benchmarks.lambda_event import KEY_ID, proxy_event
from tests.benchmarks.part import Bench, Part, Table

PEERS = Path(__file__).parent / "peers"
LOCK = "bench-lambda"
CALLS = {"quick": 300, "full": 2000}
ROUNDS = {"quick": 2, "full": 9}
RUNTIMES = ("python3.11", "python3.12")  # from 3.12 on the runtime client takes its events another way
MEGABYTE = 1_000_000
TABLE = "usage"
# What the Lambda image has already, and pip, which is nobody's.
IN_THE_IMAGE = {
    *("awslambdaric", "boto3", "botocore", "jmespath", "s3transfer", "urllib3", "python-dateutil", "six"),
    *("simplejson", "snapshot-restore-py", "pip", "setuptools", "wheel"),
}


class Function(NamedTuple):
    """A contestant: handler, where its code lies, what its environment adds, its event, its bytes.

    `wrapper` is the script that Lambda starts in place of awslambdaric.
    """

    title: str
    handler: str
    path: str
    environment: dict[str, str]
    event: bytes
    unzipped: int
    wrapper: str = ""


FIGURES = ("init_ratio", "warm_metered_ratio")
NULL = "a handler that does nothing"
USUAL = "FastAPI + Mangum + Powertools, nothing recorded"
COUNTED = "… with boto3 `update_item` a call"
OURS = "Payphone as deployed, ledger row a call"
OURS_UNDER_THEIRS = "… under `awslambdaric`"
NULL_UNDER_OURS = "a handler that does nothing, under Payphone's runtime client"


def measure(bench: Bench) -> Part:
    """Every function once a round, in turn; ratios are medians over rounds."""
    python = bench.environment(LOCK)
    mode = "quick" if bench.quick else "full"
    results: dict[tuple[str, str], list[runtime_api.Run]] = {}
    with dynamodb(bench) as aws:
        functions = _functions(bench, python, aws)
        for number in range(ROUNDS[mode] + 1):  # the first leaves bytecode and file cache as they will be
            for client in RUNTIMES:
                for function in functions:
                    bench.step(f"{function.title}, {client}")
                    calls = CALLS[mode] if number else 20
                    run = _run(python, function, client, calls)
                    if number:
                        results.setdefault((client, function.title), []).append(run)
                    else:
                        _check(function, run)
    return _part(functions, results)


def _part(functions: list[Function], results: dict[tuple[str, str], list[runtime_api.Run]]) -> Part:
    tables = []
    for client in RUNTIMES:
        rows = []
        for function in functions:
            runs = results[client, function.title]
            over = median(_over(results, client, function.title))
            figures = [median(column) for column in list(zip(*runs, strict=True))[:4]]
            cells = [f"{figures[0]:.1f}", f"{figures[1]:.2f}", f"{figures[2]:.0f}", f"{over:.0f}"]
            rows.append((function.title, *cells, f"{figures[3]:.0f}", f"{function.unzipped / MEGABYTE:.2f}"))
        columns = ("handler", "init, CPU ms", "first call, CPU ms", "warm call, CPU µs")
        more = ("over nothing, µs", "peak MB", "code and layers, MB unzipped")
        tables.append(Table(f"Lambda, runtime client as for {client}", (*columns, *more), rows))
    client = RUNTIMES[0]
    inits = zip(results[client, COUNTED], results[client, OURS], strict=True)
    warms = zip(_over(results, client, COUNTED), _over(results, client, OURS), strict=True)
    figures = {
        "init_ratio": median(theirs.init_ms / ours.init_ms for theirs, ours in inits),
        "warm_metered_ratio": median(theirs / ours for theirs, ours in warms),
    }
    return Part(tables, figures)


def _over(results: dict[tuple[str, str], list[runtime_api.Run]], client: str, title: str) -> list[float]:
    """What a warm call costs more than one of the null handler in the same round, in µs."""
    pairs = zip(results[client, title], results[client, NULL], strict=True)
    return [run.warm_us - null.warm_us for run, null in pairs]


def _functions(bench: Bench, python: Path, aws: dict[str, str]) -> list[Function]:
    installed = distributions(path=[site_packages(python)])
    shipped = [one for one in installed if name_of(one) not in IN_THE_IMAGE]
    usual = sum(map(size_of, shipped)) + (PEERS / "lambda_usual.py").stat().st_size
    theirs = {"BENCH_MODEL": str(bench.model_file), "POWERTOOLS_DEV": "false", **aws}
    counted = {**theirs, "USAGE_TABLE": TABLE}
    plain = proxy_event("/predict", json.dumps({"measures": iris.ROW}), encoded=False)
    deployed = ours(bench, aws)
    return [
        Function(NULL, "lambda_null.handler", str(PEERS), {}, plain, 0),
        Function(USUAL, "lambda_usual.handler", str(PEERS), theirs, plain, usual),
        Function(COUNTED, "lambda_usual.handler", str(PEERS), counted, plain, usual),
        deployed,
        deployed._replace(title=OURS_UNDER_THEIRS, wrapper=""),
        _null_under_ours(Path(deployed.path), plain),
    ]


def _null_under_ours(task: Path, event: bytes) -> Function:
    folder = task.with_name("null")
    shutil.copytree(task, folder)
    shutil.copy(PEERS / "lambda_null.py", folder)
    client = bundle.CLIENTS["functions.handlers.predict"]
    script = folder / bundle.START
    script.write_text(bundle.SCRIPT.format(client=client, handler="lambda_null"))
    return Function(NULL_UNDER_OURS, "lambda_null.handler", str(folder), {}, event, 0, str(script))


def ours(bench: Bench, aws: dict[str, str]) -> Function:
    """Built as for a deploy, for the Python that runs here, and unpacked as Lambda does it."""
    build, root = bench.folder / "build", bench.folder / "unpacked"
    shutil.rmtree(root, ignore_errors=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    registry = bench.workspace().registry()
    live = registry.live(iris.NAME)
    assert live
    archives = {
        "task": bundle.build("functions.handlers.predict", build, version),
        "opt": runtime.build(build, "x86_64"),
        "opt ": model.build(registry, iris.NAME, live, build),
    }
    for place, archive in archives.items():
        with zipfile.ZipFile(archive.path) as file:
            file.extractall(root / place.strip())
    (root / "task" / bundle.START).chmod(0o755)  # which extractall leaves to others
    settings = {
        **aws,
        "PAYPHONE_MODEL": iris.NAME,
        "PAYPHONE_STAGE": "bench",
        "PAYPHONE_ARTIFACT": str(root / "opt" / "payphone" / iris.NAME),
        "PAYPHONE_LITERT_LIBRARY": str(root / "opt" / "lib" / "libLiteRt.so"),
        "PAYPHONE_LEDGER_TABLE": "ledger",
        "PAYPHONE_ACCESS_TABLE": "access",
    }
    event = proxy_event(iris.PATH, json.dumps(iris.BODY), encoded=True)
    unzipped = sum(archive.unzipped for archive in archives.values())
    handler = "functions.handlers.predict.handler"
    script = str(root / "task" / bundle.START)
    return Function(OURS, handler, str(root / "task"), settings, event, unzipped, script)


def environment(function: Function, client: str) -> dict[str, str]:
    """What Lambda sets for a function on the runtime `client`, with the function's own settings."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{client}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
        "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
        "AWS_REGION": "eu-west-1",
        "AWS_SECRET_ACCESS_KEY": "not-a-real-secret",
        "AWS_SESSION_TOKEN": "T" * 400,
        "LAMBDA_TASK_ROOT": function.path,
        "LANG": "en_US.UTF-8",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": function.path,
        "SETUPTOOLS_USE_DISTUTILS": "stdlib",  # or what pip left in the environment runs at each start
        "TZ": ":UTC",
        **function.environment,
    }


def command(python: Path, function: Function) -> list[str]:
    """What Lambda starts."""
    return [*filter(None, [function.wrapper]), str(python), "-m", "awslambdaric", function.handler]


def _run(python: Path, function: Function, client: str, calls: int) -> runtime_api.Run:
    started = command(python, function)
    return runtime_api.run(started, environment(function, client), function.path, [function.event], calls)


def _check(function: Function, run: runtime_api.Run) -> None:
    """A handler that answers with an error would be cheap."""
    answer = json.loads(run.answer)
    if answer["statusCode"] != 200 or (
        "lambda_null" not in function.handler and "setosa" not in answer["body"]
    ):
        sys.exit(f"{function.title} answered {answer}")


@contextlib.contextmanager
def dynamodb(bench: Bench) -> Iterator[dict[str, str]]:
    """The stand-in, and the environment that leads to it."""
    plan = Plan("metered", "metered@0123456789ab", 100.0, 200, 0)
    record = KeyRecord("key_0000000000000001", "0" * 64, "cus_0000000000000001", plan, (), 1_700_000_000_000)
    items = [plan_item(plan, "plan1"), record_item(record, KEY_ID)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.dynamodb", str(bench.folder)],
        cwd=bench.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({item["id"]["S"]: item for item in items}))
        process.stdin.close()
        url = process.stdout.readline().strip()
        yield {"AWS_ENDPOINT_URL_DYNAMODB": url, "AWS_CA_BUNDLE": str(bench.folder / "ca.pem")}
    finally:
        process.terminate()
        process.wait()
