"""One event as API Gateway's REST proxy hands it to a function."""

import base64
import json

KEY_ID = "k1k2k3k4k5"
KEY = "pp_live_00000000000000000000000000000000000000"


def proxy_event(path: str, body: str, *, encoded: bool) -> bytes:
    """As a client behind CloudFront makes it; `encoded` where the API takes every media type as binary."""
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "CloudFront-Forwarded-Proto": "https",
        "CloudFront-Is-Desktop-Viewer": "true",
        "CloudFront-Is-Mobile-Viewer": "false",
        "CloudFront-Is-SmartTV-Viewer": "false",
        "CloudFront-Is-Tablet-Viewer": "false",
        "CloudFront-Viewer-ASN": "16509",
        "CloudFront-Viewer-Country": "DE",
        "Content-Type": "application/json",
        "Host": "abcdefghij.execute-api.eu-west-1.amazonaws.com",
        "User-Agent": "python-requests/2.32.3",
        "Via": "1.1 0123456789abcdef0123456789abcdef.cloudfront.net (CloudFront)",
        "X-Amz-Cf-Id": "Zi8iH1lOZ0Gv8b3pQ3v3m3wqfXx2y0v3gQ7m6A8yqJYpJ1lq9r1xXw==",
        "X-Amzn-Trace-Id": "Root=1-65f0c0de-0123456789abcdef01234567",
        "X-Forwarded-For": "203.0.113.7, 192.0.2.50",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "x-api-key": KEY,
    }
    identity = dict.fromkeys(("accessKey", "accountId", "caller", "cognitoIdentityId", "user", "userArn"))
    event = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": headers["Host"],
            "extendedRequestId": "UdXXXFrPIAMEVYw=",
            "httpMethod": "POST",
            "identity": {
                **identity,
                "apiKeyId": KEY_ID,
                "apiKey": KEY,
                "sourceIp": "203.0.113.7",
            },
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": "0f4e8a3a-7c1f-4b5e-9a55-1f2e3d4c5b6a",
            "requestTime": "23/Nov/2026:20:52:46 +0000",
            "requestTimeEpoch": 1_795_466_766_123,
            "resourcePath": "/{proxy+}",
            "stage": "prod",
        },
        "body": base64.b64encode(body.encode()).decode() if encoded else body,
        "isBase64Encoded": encoded,
    }
    return json.dumps(event, separators=(",", ":")).encode()
