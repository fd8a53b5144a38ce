"""REST, log-in and WebSockets."""

from typing import Any, Final

from tests.infra.assembly import Properties, as_text
from tests.infra.design.finds import Find, Row


def goes_to_stream(p: Properties) -> bool:
    """Whether the distribution sends `/ws`, and that alone, to fanout's name."""
    config = p["DistributionConfig"]
    (stream,) = (one for one in config["Origins"] if as_text(one["DomainName"]).startswith("stream."))
    paths = [one["PathPattern"] for one in config["CacheBehaviors"] if one["TargetOriginId"] == stream["Id"]]
    return paths == ["/ws"]


def documented(p: Properties) -> Any:
    return p["Body"]


API: Final = (
    Row(
        "API",
        "API Gateway REST from the OpenAPI file",
        [Find("ApiGateway::RestApi", lambda p: "/api/v1/order" in documented(p)["paths"], count=2)],
    ),
    Row(
        "API",
        "JWT by Cognito",
        [
            Find(
                "ApiGateway::RestApi",
                lambda p: (
                    documented(p)["paths"]["/api/v1/order"]["post"]["security"]
                    == [{"users": ["aws.cognito.signin.user.admin"]}]
                    and documented(p)["components"]["securitySchemes"]["users"]["x-amazon-apigateway-authtype"]
                    == "cognito_user_pools"
                ),
            )
        ],
    ),
    Row(
        "API",
        "API keys and usage plans",
        [
            Find("ApiGateway::ApiKey"),
            Find("ApiGateway::UsagePlan"),
            Find("ApiGateway::UsagePlanKey"),
            Find(
                "ApiGateway::RestApi",
                lambda p: documented(p)["paths"]["/api/v1/order"]["post"]["security"] == [{"bots": []}],
            ),
        ],
    ),
    Row(
        "API",
        "request validation",
        [
            Find(
                "ApiGateway::RestApi",
                lambda p: (
                    documented(p)["x-amazon-apigateway-request-validators"][
                        documented(p)["x-amazon-apigateway-request-validator"]
                    ]
                    == {"validateRequestBody": True, "validateRequestParameters": True}
                ),
                count=2,
            )
        ],
    ),
    Row(
        "API",
        "10,000 RPS throttle",
        [
            Find(
                "ApiGateway::Stage",
                lambda p: [one["ThrottlingRateLimit"] for one in p["MethodSettings"]] == [10_000],
                count=2,
            )
        ],
    ),
    Row(
        "API",
        "API Gateway WebSocket: instead of it `/ws` from CloudFront to fanout's load balancer "
        "([ADR 15](adr/0015-websockets-go-through-a-load-balancer.md))",
        [
            Find("CloudFront::Distribution", goes_to_stream),
            Find(
                "Route53::RecordSet",
                lambda p: p["Name"] == "stream.crossbook.example.com." and "Balancer" in as_text(p["AliasTarget"]),
                stack="fanout",
            ),
            Find("ElasticLoadBalancingV2::LoadBalancer", lambda p: p["Scheme"] == "internet-facing", stack="fanout"),
            Find("ApiGatewayV2::Api", count=0),
            Find("ApiGatewayV2::Integration", count=0),
        ],
    ),
    Row("API", "VPC links", [Find("ApiGatewayV2::VpcLink")]),
    Row(
        "API",
        "Cognito",
        [Find("Cognito::UserPool"), Find("Cognito::UserPoolClient"), Find("Cognito::UserPoolGroup")],
    ),
)
