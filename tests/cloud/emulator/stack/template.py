"""A small stack with one of everything that the emulator mends, as a CloudFormation template."""

PLANS = {"Wide": (1000, 1000, 100_000), "Slow": (0.001, 2, 1000), "Small": (1000, 1000, 3)}
PROBLEM = (
    '{"type":"about:blank","title":"%s","detail":$context.error.messageString,"id":"$context.requestId"}'
)
GATEWAY_RESPONSES = {
    "DEFAULT_5XX": (None, "Failed"),
    "INTEGRATION_TIMEOUT": ("504", "Too slow"),
    "INVALID_API_KEY": ("401", "No key"),
    "MISSING_AUTHENTICATION_TOKEN": ("404", "Not found"),
    "QUOTA_EXCEEDED": ("429", "Quota exceeded"),
    "REQUEST_TOO_LARGE": ("413", "Too large"),
    "THROTTLED": ("429", "Too fast"),
}
LOG_FORMAT = (
    '{"id":"$context.requestId","extended":"$context.extendedRequestId","status":"$context.status",'
    '"key":"$context.identity.apiKeyId","error":"$context.error.responseType","at":$context.requestTimeEpoch}'
)


def ref(name):
    return {"Ref": name}


def att(name, attribute):
    return {"Fn::GetAtt": [name, attribute]}


def sub(text):
    return {"Fn::Sub": text}


def resource(kind, depends=None, **properties):
    body = {"Type": f"AWS::{kind}", "Properties": properties}
    return body | ({"DependsOn": depends} if depends else {})


def table(**properties):
    key = {"AttributeName": "pk"}
    return resource(
        "DynamoDB::Table",
        AttributeDefinitions=[key | {"AttributeType": "S"}],
        KeySchema=[key | {"KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        **properties,
    )


def function(handler, environment=None, **properties):
    code = {"S3Bucket": "code", "S3Key": "handlers.zip"}
    return resource(
        "Lambda::Function",
        Code=code,
        Handler=f"handlers.{handler}",
        Layers=[ref("Layer")],
        Role=att("Role", "Arn"),
        Runtime="python3.11",
        **({"Environment": {"Variables": environment}} if environment else {}),
        **{"MemorySize": 128, "Timeout": 3} | properties,
    )


def mapping(name, **properties):
    return resource(
        "Lambda::EventSourceMapping",
        EventSourceArn=att("Source", "StreamArn"),
        FunctionName=ref(name),
        StartingPosition="TRIM_HORIZON",
        DestinationConfig={"OnFailure": {"Destination": att("Failures", "Arn")}},
        **properties,
    )


def route(name, part, function_name, **integration):
    """A path of one segment with a keyed POST to a function."""
    uri = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${%s.Arn}/invocations"
    return {
        f"{name}Path": resource(
            "ApiGateway::Resource", RestApiId=ref("Api"), ParentId=att("Api", "RootResourceId"), PathPart=part
        ),
        f"{name}Method": resource(
            "ApiGateway::Method",
            RestApiId=ref("Api"),
            ResourceId=ref(f"{name}Path"),
            HttpMethod="POST",
            AuthorizationType="NONE",
            ApiKeyRequired=True,
            Integration={
                "Type": "AWS_PROXY",
                "IntegrationHttpMethod": "POST",
                "Uri": sub(uri % function_name),
            }
            | integration,
        ),
    }


def plan(name):
    rate, burst, quota = PLANS[name]
    return {
        f"Plan{name}": resource(
            "ApiGateway::UsagePlan",
            depends=["Stage"],
            ApiStages=[{"ApiId": ref("Api"), "Stage": ref("Stage")}],
            Throttle={"RateLimit": rate, "BurstLimit": burst},
            Quota={"Limit": quota, "Period": "MONTH"},
        ),
        f"Key{name}": resource("ApiGateway::ApiKey", Enabled=True, Value=key(name)),
        f"Member{name}": resource(
            "ApiGateway::UsagePlanKey",
            KeyId=ref(f"Key{name}"),
            KeyType="API_KEY",
            UsagePlanId=ref(f"Plan{name}"),
        ),
    }


def key(name):
    """The value of a plan's key."""
    return f"a-key-of-the-plan-{name}"


def gateway_response(kind):
    status, title = GATEWAY_RESPONSES[kind]
    return resource(
        "ApiGateway::GatewayResponse",
        RestApiId=ref("Api"),
        ResponseType=kind,
        ResponseTemplates={"application/json": PROBLEM % title},
        ResponseParameters={"gatewayresponse.header.Content-Type": "'application/problem+json'"},
        **({"StatusCode": status} if status else {}),
    )


def template():
    """The whole stack."""
    responses = {f"Response{kind.replace('_', '')}": gateway_response(kind) for kind in GATEWAY_RESPONSES}
    routes = (
        route("Echo", "echo", "Echo")
        | route("Hurried", "hurried", "Echo", TimeoutInMillis=300)
        | route("Closed", "closed", "Closed")
    )
    resources = {
        "Role": resource("IAM::Role", AssumeRolePolicyDocument={"Version": "2012-10-17", "Statement": []}),
        "Layer": resource("Lambda::LayerVersion", Content={"S3Bucket": "code", "S3Key": "layer.zip"}),
        "Seen": table(),
        "Source": table(StreamSpecification={"StreamViewType": "NEW_AND_OLD_IMAGES"}),
        "Failures": resource("S3::Bucket", BucketName="failures"),
        "Logs": resource("S3::Bucket", BucketName="logs"),
        "LogStream": resource(
            "KinesisFirehose::DeliveryStream",
            DeliveryStreamName="amazon-apigateway-access",
            ExtendedS3DestinationConfiguration={
                "BucketARN": att("Logs", "Arn"),
                "Prefix": "access/",
                "RoleARN": att("Role", "Arn"),
            },
        ),
        "Echo": function("echo"),
        "Closed": function("echo"),
        "Reporting": function("consume", {"SEEN": ref("Seen"), "ON_POISON": "report"}),
        "Raising": function("consume", {"SEEN": ref("Seen"), "ON_POISON": "raise"}),
        "ReportingMapping": mapping(
            "Reporting",
            BatchSize=100,
            MaximumRetryAttempts=2,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            BisectBatchOnFunctionError=True,
        ),
        "RaisingMapping": mapping(
            "Raising", BatchSize=100, MaximumRetryAttempts=2, BisectBatchOnFunctionError=True
        ),
        "Api": resource("ApiGateway::RestApi", Name="tried", BinaryMediaTypes=["application/octet-stream"]),
        **routes,
        "EchoPermission": resource(
            "Lambda::Permission",
            Action="lambda:InvokeFunction",
            FunctionName=ref("Echo"),
            Principal="apigateway.amazonaws.com",
            SourceArn=sub("arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/POST/*"),
        ),
        **responses,
        "Deployment": resource(
            "ApiGateway::Deployment",
            depends=[name for name in (*routes, *responses) if not name.endswith("Path")],
            RestApiId=ref("Api"),
        ),
        "Stage": resource(
            "ApiGateway::Stage",
            RestApiId=ref("Api"),
            DeploymentId=ref("Deployment"),
            StageName="prod",
            AccessLogSetting={"DestinationArn": att("LogStream", "Arn"), "Format": LOG_FORMAT},
        ),
    }
    for name in PLANS:
        resources |= plan(name)
    shown = ["Api", "Role", "Seen", "Source", "ReportingMapping", "RaisingMapping"]
    shown += [f"{what}{name}" for what in ("Plan", "Key") for name in PLANS]
    outputs = {name: {"Value": ref(name)} for name in shown}
    return {"Resources": resources, "Outputs": outputs}
