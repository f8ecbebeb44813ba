"""Lambda functions as AWS runs them: under the real runtime client, with its folders and its limits.

A Python function runs `python -m awslambdaric` against ministack's Runtime API, or what
AWS_LAMBDA_EXEC_WRAPPER names with that command as its arguments, in user and mount namespaces of its
own: the zip read-only at /var/task, the merged layers read-only at /opt, a clean environment. Where the
host allows no namespaces it runs in the unpacked folders instead, and `LAMBDA_TASK_ROOT` says where.
Memory is held to MemorySize, payloads to 6 MB, zips to 250 MB.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import zipfile
from pathlib import Path

from ministack.core import lambda_runtime as core
from ministack.services import lambda_svc

RUNTIME_PYTHON = os.environ["EMULATOR_LAMBDA_PYTHON"]
UNZIPPED_LIMIT = 262_144_000
PAYLOAD_LIMIT = 6_291_556
RSS_INTERVAL = 0.02
TOO_LARGE = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."

FOLDERS = Path(tempfile.mkdtemp(prefix="functions-"))
HANDED_OVER = (
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


def namespaces_allowed() -> bool:
    """Whether this host lets us give each function its own view of /var/task and /opt.

    What lies below those two folders would vanish from a function's view, its interpreter included.
    """
    hidden = any(str(path).startswith(("/opt/", "/var/")) for path in (RUNTIME_PYTHON, FOLDERS))
    if hidden or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


class PythonFunction(core.ProvidedWorker):
    """One execution environment of a Python function.

    ministack knows how to keep a custom runtime alive from call to call: this hands it a `bootstrap`
    that starts the runtime client, and adds the memory limit.
    """

    endpoint = ""
    isolated = False

    def __init__(self, func_name: str, config: dict, code_zip: bytes) -> None:
        """Unpack the zip and its layers; the process itself starts with the first call."""
        attached = (lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers", []))
        task = unpacked([code_zip], "task")
        layers = unpacked([layer for layer in attached if layer], "opt")
        size = unpacked_size(task) + unpacked_size(layers)
        if size > UNZIPPED_LIMIT:
            raise RuntimeError(
                f"function and layers unzip to {size} bytes, Lambda's limit is {UNZIPPED_LIMIT}"
            )
        super().__init__(func_name, config, self._bootstrap(config, task, layers))

    def _bootstrap(self, config: dict, task: Path, layers: Path) -> bytes:
        """A custom runtime of one shell script: the environment and folders of AWS, then the client."""
        seen_task, seen_layers = ("/var/task", "/opt") if self.isolated else (str(task), str(layers))
        client = environment(config, seen_task, seen_layers)
        client += wrapper(config, seen_task, seen_layers)
        client += f" {shlex.quote(RUNTIME_PYTHON)} -m awslambdaric {shlex.quote(config['Handler'])}"
        # The endpoint is handed over here, as ministack itself must not see it.
        lines = ["#!/bin/sh", f"export AWS_ENDPOINT_URL={self.endpoint}"]
        if self.isolated:
            mounts = " && ".join(
                [
                    f"mount --bind {layers} /opt",
                    "mount -o remount,bind,ro /opt",
                    "mount -t tmpfs tmpfs /var",
                    "mkdir /var/task /var/runtime",
                    f"mount --bind {task} /var/task",
                    "mount -o remount,bind,ro /var/task",
                    "cd /var/task",
                    f"exec {client}",
                ]
            )
            lines.append(f"exec unshare -Urm --propagation private /bin/sh -c {shlex.quote(mounts)}")
        else:
            lines += [f"cd {task}", f"exec {client}"]
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("bootstrap", "\n".join(lines) + "\n")
        return archive.getvalue()

    def invoke(self, event: object, request_id: str, **options: object) -> dict:
        """Run one call; a function over its memory is killed, as Lambda does it."""
        options.pop("depth", None)
        options.pop("durable", None)
        done, killed = threading.Event(), threading.Event()
        watch = threading.Thread(target=self._hold_to_memory, args=(done, killed), daemon=True)
        watch.start()
        try:
            result = super().invoke(event, request_id, **options)
        finally:
            done.set()
        if killed.is_set():
            message = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
            result["error_payload"] = {"errorType": "Runtime.OutOfMemory", "errorMessage": message}
        return result

    def _hold_to_memory(self, done: threading.Event, killed: threading.Event) -> None:
        limit = int(self.config.get("MemorySize", 128)) * 1024
        while not done.wait(RSS_INTERVAL):
            process = self._proc
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
                resident = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))
            except (AttributeError, OSError):  # not started yet, or gone
                continue
            if resident > limit:
                killed.set()
                process.kill()
                return

    def _build_handler_class(self, *arguments: object) -> type:
        """Answer the Runtime API in one segment: two writes would cost 40 ms (Nagle and delayed ACK)."""
        handler = super()._build_handler_class(*arguments)
        handler.wbufsize, handler.disable_nagle_algorithm = -1, True
        return handler

    def _drain_stderr_bounded(self, first_line_wait: float = 0.003, *limits: float) -> str:
        """Wait for the log of a silent call for 3 ms, not for ministack's 50."""
        return super()._drain_stderr_bounded(first_line_wait, *(limits or (0.002, 0.25)))


def environment(config: dict, task: str, layers: str) -> str:
    """The `env -i` command line with the variables that Lambda documents for a Python function."""
    runtime, logging = config["Runtime"], config.get("LoggingConfig") or {}
    fixed = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": str(logging.get("LogFormat") or "Text"),
        "AWS_LAMBDA_LOG_GROUP_NAME": str(logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"),
        "HOME": "/tmp",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": task,
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"{task}:{task}/lib:{layers}/lib",
        "PATH": f"/usr/local/bin:/usr/bin:/bin:{layers}/bin",
        "PYTHONPATH": f"{layers}/python/lib/{runtime}/site-packages:{layers}/python",
        "TZ": ":UTC",
        "_HANDLER": config["Handler"],
    }
    if logging.get("ApplicationLogLevel"):
        fixed["AWS_LAMBDA_LOG_LEVEL"] = str(logging["ApplicationLogLevel"])
    own = [name for name in (config.get("Environment") or {}).get("Variables", {}) if name not in fixed]
    handed = [f'{name}="${name}"' for name in dict.fromkeys([*HANDED_OVER, *own])]
    return " ".join(["env -i", *(f"{name}={shlex.quote(value)}" for name, value in fixed.items()), *handed])


def wrapper(config: dict, task: str, layers: str) -> str:
    """The script that a function wants started in place of the runtime client, if it names one."""
    named = (config.get("Environment") or {}).get("Variables", {}).get("AWS_LAMBDA_EXEC_WRAPPER")
    if not named:
        return ""
    for place, seen in (("/var/task/", task), ("/opt/", layers)):
        if named.startswith(place):
            return " " + shlex.quote(f"{seen}/{named.removeprefix(place)}")
    raise RuntimeError(f"AWS_LAMBDA_EXEC_WRAPPER is {named}: a file below /var/task or /opt was expected")


def unpacked(archives: list[bytes], kind: str) -> Path:
    """The folder these archives unpack to, a later one over an earlier one; made once per content."""
    names = "".join(hashlib.sha256(archive).hexdigest() for archive in archives)
    folder = FOLDERS / f"{kind}-{hashlib.sha256(names.encode()).hexdigest()[:24]}"
    with lambda_svc._provided_code_lock:
        if not folder.is_dir():
            half = folder.with_suffix(".half")
            half.mkdir(parents=True, exist_ok=True)
            for archive in archives:
                with zipfile.ZipFile(io.BytesIO(archive)) as file:
                    lambda_svc._extract_zip_preserving_mode(file, str(half))
            half.rename(folder)
    return folder


def unpacked_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def by_weight(func: dict | None, qualifier: str | None) -> str | None:
    """The version that an alias sends this call to, where it sends a share of them to another."""
    alias = (func or {}).get("aliases", {}).get(qualifier) or {}
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    drawn = random.random()
    for version, weight in weights.items():
        drawn -= float(weight)
        if drawn < 0:
            return version
    return qualifier


def install(endpoint: str) -> None:
    """Run Python functions as above, and hold every function to Lambda's payload limit."""
    PythonFunction.endpoint, PythonFunction.isolated = endpoint, namespaces_allowed()
    worker_class, warm = core._worker_class_for, lambda_svc._execute_function_warm
    dispatch, find = lambda_svc._execute_function_dispatch, lambda_svc._effective_func_record_for_qualifier

    def is_python(config: dict) -> bool:
        return str(config.get("Runtime", "")).startswith("python")

    def choose_worker(config: dict) -> type:
        return PythonFunction if is_python(config) else worker_class(config)

    def execute(func: dict, event: object, request_id: str) -> dict:
        custom = is_python(func.get("config") or func)
        return (lambda_svc._execute_function_provided_warm if custom else warm)(func, event, request_id)

    def within_limits(func: dict, config: dict, event: object, request_id: str, started: float) -> dict:
        result = dispatch(func, config, event, request_id, started)
        answer = json.dumps(result.get("body"), default=str, ensure_ascii=False)
        if not result.get("error") and len(answer.encode()) > PAYLOAD_LIMIT:
            body = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": TOO_LARGE}
            return {"error": True, "log": result.get("log", ""), "body": body}
        return result

    def find_by_weight(func: dict | None, qualifier: str | None) -> tuple[dict | None, dict | None]:
        return find(func, by_weight(func, qualifier))

    core._worker_class_for = choose_worker
    lambda_svc._effective_func_record_for_qualifier = find_by_weight
    lambda_svc._execute_function_warm = execute
    lambda_svc._execute_function_dispatch = within_limits
