"""API Gateway REST: two APIs from the gateway's one document, in front of its load balancer.

One method has one way to authorize, and the gateway knows two: users come with Cognito's tokens, which the API checks;
bots sign with keys that only the gateway can check, and come through an API whose usage plan bounds them by a key of
its own.
"""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.contract import Callers, Document, read_contract, rest_api
from crossbook_infra.firewall import Scope, firewall
from crossbook_infra.gateway import GatewayStack
from crossbook_infra.layers import Layers
from crossbook_infra.stack import ExchangeStack, accept

_TIMEOUT_MS: Final = 15_000
"""Longer than a client may ask to wait for the matcher's verdict (`Prefer: wait`, 10 s)."""
_BOT_QUOTA_A_DAY: Final = 10_000_000


class ApiStack(ExchangeStack):
    """What the edge calls. `users` is the stage of one API, `bots` that of the other."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers, gateway: GatewayStack) -> None:
        super().__init__(scope, settings, "api", "Crossbook: API Gateway REST")
        self._layers = layers
        self._gateway = gateway
        self._link = apigatewayv2.VpcLink(
            self,
            "Link",
            vpc_link_name=settings.prefix,
            vpc=layers.network.vpc,
            subnets=ec2.SubnetSelection(subnets=layers.network.vpc.private_subnets),
            security_groups=[self.fixed(layers.network.vpc_link, "Link")],
        )
        contract = read_contract()
        self.apis = {callers: self._api(callers, contract) for callers in Callers}
        self._plan()
        self._shield()

    def host(self, callers: Callers) -> str:
        """Where CloudFront finds the API."""
        return f"{self.apis[callers].rest_api_id}.execute-api.{self.region}.amazonaws.com"

    def _api(self, callers: Callers, contract: Document) -> apigateway.SpecRestApi:
        title = f"{self.settings.prefix}-{callers.value}"
        document = rest_api(
            contract, callers, title=title, authorizer=self._authorizer(), integration=self._integration()
        )
        access = logs.LogGroup(
            self,
            f"{callers.value.title()}Log",
            log_group_name=f"/{self.settings.prefix}/api-{callers.value}",
            encryption_key=self._layers.keys.records,
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=self.removal_policy,
        )
        api = apigateway.SpecRestApi(
            self,
            callers.value.title(),
            rest_api_name=title,
            api_definition=apigateway.ApiDefinition.from_inline(document),
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            fail_on_warnings=True,
            cloud_watch_role=callers is Callers.USERS,
            deploy_options=apigateway.StageOptions(
                stage_name=callers.value,
                throttling_rate_limit=self.settings.requests_per_second_max,
                throttling_burst_limit=self.settings.requests_per_second_max // 2,
                tracing_enabled=True,
                metrics_enabled=True,
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                access_log_destination=apigateway.LogGroupLogDestination(access),
                access_log_format=apigateway.AccessLogFormat.json_with_standard_fields(
                    caller=False,
                    http_method=True,
                    ip=True,
                    protocol=True,
                    request_time=True,
                    resource_path=True,
                    response_length=True,
                    status=True,
                    user=False,
                ),
            ),
        )
        accept(api, "APIG2", "The document has the validator, for bodies and parameters of every operation")
        accept(
            api,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
            "AWS's own policy for the account's API Gateway, which only writes logs",
        )
        return api

    def _authorizer(self) -> Document:
        return {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authtype": "cognito_user_pools",
            "x-amazon-apigateway-authorizer": {
                "type": "cognito_user_pools",
                "providerARNs": [self._layers.identity.pool.user_pool_arn],
            },
        }

    def _integration(self) -> Document:
        """Privately, and by TLS under a name that the load balancer's certificate has."""
        return {
            "type": "http_proxy",
            "uri": f"https://{self._layers.names.api_host}{{path}}",
            "connectionType": "VPC_LINK",
            "connectionId": self._link.vpc_link_id,
            "integrationTarget": self._gateway.balancer.load_balancer_arn,
            "passthroughBehavior": "when_no_match",
            "timeoutInMillis": _TIMEOUT_MS,
        }

    def _plan(self) -> None:
        """One plan for all bots, a key a partner; a tenth of all requests for one of them."""
        bots = self.apis[Callers.BOTS]
        rate = self.settings.requests_per_second_max // 10
        plan = bots.add_usage_plan(
            "Plan",
            name=f"{self.settings.prefix}-bots",
            throttle=apigateway.ThrottleSettings(rate_limit=rate, burst_limit=rate),
            quota=apigateway.QuotaSettings(limit=_BOT_QUOTA_A_DAY, period=apigateway.Period.DAY),
        )
        plan.add_api_stage(stage=bots.deployment_stage)
        plan.add_api_key(bots.add_api_key("FirstPartner", api_key_name=f"{self.settings.prefix}-first-partner"))

    def _shield(self) -> None:
        """The edge's rules again, for those who call the API past the edge."""
        acl = firewall(self, "Firewall", Scope.REGIONAL)
        for callers, api in self.apis.items():
            waf.CfnWebACLAssociation(
                self,
                f"{callers.value.title()}Firewall",
                resource_arn=api.deployment_stage.stage_arn,
                web_acl_arn=acl.attr_arn,
            )
            cdk.CfnOutput(self, f"{callers.value.title()}Url", value=api.url)
