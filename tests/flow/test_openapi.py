"""schemathesis against the live server: no 5xx, and every response is as /openapi.json says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

schema = schemathesis.pytest.from_fixture("openapi")


@pytest.fixture(scope="module")
def openapi(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def key(server):
    return server.issue()[0]


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_its_word(case, key, server):
    before = len(server.rows())
    response = case.call(headers={"x-api-key": key})
    case.validate_response(
        response,
        checks=[
            schemathesis.checks.not_a_server_error,
            schemathesis.checks.load_all_checks()
            or schemathesis.checks.CHECKS.get_one("response_schema_conformance"),
        ],
    )
    assert len(server.rows()) - before == (
        1 if response.status_code == 200 and "instances" in str(case.body) else 0
    )
