"""API Gateway WebSocket, in front of fanout's load balancer.

Its messages reach fanout as requests under `/connections`, by a private link to a network load balancer, the only kind
that a WebSocket API takes; what fanout has to say goes back through the API's own `@connections`.
"""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_elasticloadbalancingv2_targets as targets
from aws_cdk import aws_logs as logs
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.fanout import FanoutStack
from crossbook_infra.layers import Layers
from crossbook_infra.network import HTTPS_PORT
from crossbook_infra.stack import ExchangeStack, accept

_ROUTES: Final = {"$connect": "POST", "$default": "POST", "$disconnect": "POST"}
_STAGE: Final = "ws"


class WebSocketStack(ExchangeStack):
    """`wss://…/ws` for clients that want AWS to hold their connection."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers, fanout: FanoutStack) -> None:
        super().__init__(scope, settings, "websocket", "Crossbook: API Gateway WebSocket")
        link = self._link(layers, fanout)
        api = apigatewayv2.CfnApi(
            self,
            "Api",
            name=f"{settings.prefix}-ws",
            protocol_type="WEBSOCKET",
            route_selection_expression="$request.body.action",
        )
        self.api = api
        routes = [self._route(route, method, link, layers) for route, method in _ROUTES.items()]
        stage = self._stage(layers)
        for route in routes:
            stage.add_resource_dependency(route)
        cdk.CfnOutput(self, "Url", value=f"{api.attr_api_endpoint}/{_STAGE}")

    def _link(self, layers: Layers, fanout: FanoutStack) -> apigateway.VpcLink:
        balancer = elb.NetworkLoadBalancer(
            self,
            "Balancer",
            load_balancer_name=self.stack_name,
            vpc=layers.network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=layers.network.vpc.private_subnets),
            security_groups=[self.fixed(layers.network.internal_balancer, "Balancer")],
            enforce_security_group_inbound_rules_on_private_link_traffic=False,
            internet_facing=False,
            cross_zone_enabled=True,
            deletion_protection=self.settings.is_kept,
        )
        balancer.log_access_logs(layers.buckets.logs_in(self), "balancers/websocket")
        listener = balancer.add_listener("Tcp", port=HTTPS_PORT, protocol=elb.Protocol.TCP)
        listener.add_targets(
            "Fanout",
            port=HTTPS_PORT,
            protocol=elb.Protocol.TCP,
            targets=[targets.AlbListenerTarget(fanout.listener)],
            health_check=elb.HealthCheck(protocol=elb.Protocol.HTTPS, path="/readyz"),
        )
        return apigateway.VpcLink(self, "Link", vpc_link_name=f"{self.settings.prefix}-ws", targets=[balancer])

    def _route(self, route: str, method: str, link: apigateway.VpcLink, layers: Layers) -> apigatewayv2.CfnRoute:
        name = route.removeprefix("$")
        integration = apigatewayv2.CfnIntegration(
            self,
            f"{name.title()}Integration",
            api_id=self.api.ref,
            integration_type="HTTP_PROXY",
            integration_method=method,
            integration_uri=f"https://{layers.names.stream_host}/connections/{name}",
            connection_type="VPC_LINK",
            connection_id=link.vpc_link_id,
            timeout_in_millis=5_000,
            request_parameters={"integration.request.header.X-Connection-Id": "context.connectionId"},
        )
        found = apigatewayv2.CfnRoute(
            self,
            f"{name.title()}Route",
            api_id=self.api.ref,
            route_key=route,
            authorization_type="NONE",
            target=f"integrations/{integration.ref}",
        )
        accept(
            found,
            "APIG4",
            "Market data is for anybody; a token comes in a message, as on fanout's own socket",
        )
        return found

    def _stage(self, layers: Layers) -> apigatewayv2.CfnStage:
        group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/{self.settings.prefix}/api-websocket",
            encryption_key=layers.keys.records,
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=self.removal_policy,
        )
        rate = self.settings.requests_per_second_max
        return apigatewayv2.CfnStage(
            self,
            "Stage",
            api_id=self.api.ref,
            stage_name=_STAGE,
            auto_deploy=True,
            default_route_settings=apigatewayv2.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=rate,
                throttling_burst_limit=rate // 2,
                detailed_metrics_enabled=True,
                logging_level="ERROR",
                data_trace_enabled=False,
            ),
            access_log_settings=apigatewayv2.CfnStage.AccessLogSettingsProperty(
                destination_arn=group.log_group_arn,
                format='{"requestId":"$context.requestId","route":"$context.routeKey","status":"$context.status",'
                '"connectionId":"$context.connectionId","at":"$context.requestTimeEpoch"}',
            ),
        )
