"""The edge: one public name, behind CloudFront (with Shield Standard, which it always has) and WAF."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from crossbook_infra.api import ApiStack
from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.contract import Callers
from crossbook_infra.firewall import Scope, firewall
from crossbook_infra.layers import Layers
from crossbook_infra.stack import ExchangeStack, accept

BOTS_PATH: Final = f"/{Callers.BOTS.value}/*"
WEBSOCKET_PATH: Final = "/ws"


class EdgeStack(ExchangeStack):
    """`/bots/…` to the bots' API, `/ws` to fanout, all else to the users' API. Nothing is cached: it is all of now."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers, api: ApiStack) -> None:
        super().__init__(scope, settings, "edge", "Crossbook: CloudFront, WAF, DNS")
        names = layers.names
        self.acl = firewall(self, "Firewall", Scope.EDGE)
        users = origins.HttpOrigin(api.host(Callers.USERS), origin_path=f"/{Callers.USERS.value}", **_tls())
        bots = origins.HttpOrigin(api.host(Callers.BOTS), **_tls())
        stream = origins.HttpOrigin(names.stream_host, **_tls())
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=settings.prefix,
            domain_names=[names.domain],
            certificate=names.certificate,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            web_acl_id=self.acl.attr_arn,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_ALL,
            default_behavior=_behavior(users),
            additional_behaviors={
                BOTS_PATH: _behavior(bots),
                WEBSOCKET_PATH: _behavior(stream, cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER),
            },
        )
        self._log(layers)
        accept(self.distribution, "CFR1", "Countries are blocked by the firewall before it")
        accept(self.distribution, "CFR3", "Logged by a delivery to CloudWatch; the older logs need a bucket with ACLs")
        zone = names.zone_in(self)
        target = route53.RecordTarget.from_alias(targets.CloudFrontTarget(self.distribution))
        route53.ARecord(self, "Name", zone=zone, target=target)
        route53.AaaaRecord(self, "Name6", zone=zone, target=target)
        cdk.CfnOutput(self, "Url", value=f"https://{names.domain}")

    def _log(self, layers: Layers) -> None:
        """Accesses to CloudWatch, by the delivery that CloudFront has now: its older logs need a bucket with ACLs."""
        source = logs.CfnDeliverySource(
            self,
            "LogSource",
            name=f"{self.settings.prefix}-edge",
            log_type="ACCESS_LOGS",
            resource_arn=self.distribution.distribution_arn,
        )
        group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/{self.settings.prefix}/edge",
            encryption_key=layers.keys.records,
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=self.removal_policy,
        )
        destination = logs.CfnDeliveryDestination(
            self,
            "LogDestination",
            name=f"{self.settings.prefix}-edge",
            destination_resource_arn=group.log_group_arn,
            output_format="json",
        )
        delivery = logs.CfnDelivery(
            self,
            "LogDelivery",
            delivery_source_name=source.name,
            delivery_destination_arn=destination.attr_arn,
        )
        delivery.add_resource_dependency(source)


def _tls() -> dict[str, Any]:
    return {
        "protocol_policy": cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
        "origin_ssl_protocols": [cloudfront.OriginSslPolicy.TLS_V1_2],
        "read_timeout": cdk.Duration.seconds(30),
    }


def _behavior(
    origin: cloudfront.IOrigin,
    forwarded: cloudfront.IOriginRequestPolicy = cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
) -> cloudfront.BehaviorOptions:
    return cloudfront.BehaviorOptions(
        origin=origin,
        viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
        allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
        cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
        origin_request_policy=forwarded,
        response_headers_policy=cloudfront.ResponseHeadersPolicy.SECURITY_HEADERS,
        compress=False,
    )
