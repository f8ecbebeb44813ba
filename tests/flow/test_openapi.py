"""schemathesis against the live server: no 5xx, and every response is as /openapi.json says."""

import subprocess
import sys
from pathlib import Path

# The other checks judge an API's taste (a body refused that its schema can't exclude, say), not its word.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth"
)


def test_the_server_keeps_its_word(server, tmp_path):
    key, _ = server.issue(customer="cus_000schemathesis0")
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/openapi.json"]
    command += ["--header", f"x-api-key: {key}", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "40", "--seed", "1", "--continue-on-failure"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Traceback" not in server.written()
