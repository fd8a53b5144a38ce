"""The VPC: public, app and data subnets, ways out, endpoints, network ACLs, flow logs; who may talk to whom."""

from typing import Any, Final

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from crossbook_infra.config import ZONES, EnvironmentConfig, NetworkConfig
from crossbook_infra.stack import ExchangeStack, accept

HTTPS_PORT: Final = 443
TASK_PORT: Final = 8080
DATABASE_PORT: Final = 5432
CACHE_PORT: Final = 6379
_EPHEMERAL: Final = (1024, 65535)
_INTERFACE_ENDPOINTS: Final = {
    "SecretsManager": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "Ecr": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Sqs": ec2.InterfaceVpcEndpointAwsService.SQS,
    "Kinesis": ec2.InterfaceVpcEndpointAwsService.KINESIS_STREAMS,
}


@jsii.implements(ec2.IIpAddresses)
class _WrittenAddresses:
    """The very subnets of the settings, instead of those that the CDK would cut."""

    def __init__(self, config: NetworkConfig) -> None:
        self._config = config

    @jsii.member(jsii_name="allocateVpcCidr")
    def allocate_vpc_cidr(self) -> ec2.VpcIpamOptions:
        """The VPC's block."""
        return ec2.VpcIpamOptions(cidr_block=str(self._config.cidr))

    @jsii.member(jsii_name="allocateSubnetsCidr")
    def allocate_subnets_cidr(self, input: Any) -> ec2.SubnetIpamOptions:  # noqa: A002 - the interface's own name
        """One after the other, in the order in which the groups are declared."""
        written = [*self._config.public, *self._config.app, *self._config.data[:2]]
        assert len(input.requested_subnets) == len(written)
        return ec2.SubnetIpamOptions(allocated_subnets=[ec2.AllocatedSubnet(cidr=str(subnet)) for subnet in written])


class NetworkStack(ExchangeStack):
    """Load balancers stand in `public` or `app`, tasks and the Lambda in `app`, Aurora and Redis in `data`."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, records_key: kms.IKey) -> None:
        super().__init__(scope, settings, "network", "Crossbook: VPC, endpoints, ACLs, security groups")
        self._records_key = records_key
        self._addresses = settings.network
        self.vpc = self._vpc()
        self.data_subnets: list[ec2.ISubnet] = [*self.vpc.isolated_subnets, self._third_data_subnet()]
        self._add_endpoints()
        self._add_acls()
        self.public_balancer = self._group("PublicBalancer", "The load balancer that CloudFront calls")
        self.internal_balancer = self._group("InternalBalancer", "The load balancer that API Gateway calls")
        self.vpc_link = self._group("VpcLink", "The way of API Gateway into the VPC")
        self.tasks = self._group("Tasks", "Fargate tasks")
        self.function = self._group("Function", "The Lambda of the persister")
        self.database = self._group("Database", "Aurora")
        self.cache = self._group("Cache", "Redis")
        self._allow()
        cdk.CfnOutput(self, "AppSubnets", value=",".join(subnet.subnet_id for subnet in self.vpc.private_subnets))
        cdk.CfnOutput(self, "TasksGroupId", value=self.tasks.security_group_id)

    @property
    def data_selection(self) -> ec2.SubnetSelection:
        """The data subnets of all three zones."""
        return ec2.SubnetSelection(subnets=self.data_subnets)

    def _vpc(self) -> ec2.Vpc:
        vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=self.settings.prefix,
            ip_addresses=_WrittenAddresses(self._addresses),
            availability_zones=list(ZONES[:2]),
            nat_gateways=self._addresses.nat_gateways,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="app", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
                ec2.SubnetConfiguration(name="data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            },
        )
        group = logs.LogGroup(
            self,
            "FlowLogs",
            log_group_name=f"/{self.settings.prefix}/flow-logs",
            encryption_key=self._records_key,
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=self.removal_policy,
        )
        vpc.add_flow_log("Flows", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group))
        return vpc

    def _third_data_subnet(self) -> ec2.PrivateSubnet:
        """Aurora wants a third zone; a `Vpc` gives all its groups the same two."""
        subnet = ec2.PrivateSubnet(
            self,
            "ThirdDataSubnet",
            vpc_id=self.vpc.vpc_id,
            availability_zone=ZONES[2],
            cidr_block=str(self._addresses.data[2]),
            map_public_ip_on_launch=False,
        )
        cdk.Tags.of(subnet).add("Name", f"{self.settings.prefix}/data-3")
        return subnet

    def _add_endpoints(self) -> None:
        """AWS's services by private addresses: what the tasks call all the time does not pass the NAT gateways."""
        group = self._group("Endpoints", "Interface endpoints of AWS services")
        group.add_ingress_rule(ec2.Peer.ipv4(str(self._addresses.cidr)), ec2.Port.tcp(HTTPS_PORT), "from the VPC")
        for name, service in _INTERFACE_ENDPOINTS.items():
            self.vpc.add_interface_endpoint(
                name,
                service=service,
                subnets=ec2.SubnetSelection(subnets=self.vpc.private_subnets),
                security_groups=[group],
                open=False,
            )

    def _add_acls(self) -> None:
        """The second fence, a subnet each: it holds when a security group is opened by mistake."""
        anywhere, vpc = ec2.AclCidr.any_ipv4(), ec2.AclCidr.ipv4(str(self._addresses.cidr))
        https, ephemeral = ec2.AclTraffic.tcp_port(HTTPS_PORT), ec2.AclTraffic.tcp_port_range(*_EPHEMERAL)
        public = self._acl("Public", self.vpc.public_subnets)
        self._add_entries(public, "In", ec2.TrafficDirection.INGRESS, [(anywhere, https), (anywhere, ephemeral)])
        self._add_entries(public, "Out", ec2.TrafficDirection.EGRESS, [(anywhere, https), (anywhere, ephemeral)])
        app = self._acl("App", self.vpc.private_subnets)
        self._add_entries(app, "In", ec2.TrafficDirection.INGRESS, [(vpc, https), (anywhere, ephemeral)])
        self._add_entries(app, "Out", ec2.TrafficDirection.EGRESS, [(anywhere, https), (vpc, ephemeral)])
        data = self._acl("Data", self.data_subnets)
        callers = [ec2.AclCidr.ipv4(str(subnet)) for subnet in (*self._addresses.app, *self._addresses.data)]
        ports = [ec2.AclTraffic.tcp_port(port) for port in (DATABASE_PORT, CACHE_PORT)]
        self._add_entries(
            data, "In", ec2.TrafficDirection.INGRESS, [(caller, port) for caller in callers for port in ports]
        )
        self._add_entries(data, "Out", ec2.TrafficDirection.EGRESS, [(caller, ephemeral) for caller in callers])
        peers = [ec2.AclCidr.ipv4(str(subnet)) for subnet in self._addresses.data]
        self._add_entries(
            data, "Answer", ec2.TrafficDirection.INGRESS, [(peer, ephemeral) for peer in peers], first=200
        )

    def _acl(self, name: str, subnets: list[ec2.ISubnet]) -> ec2.NetworkAcl:
        acl = ec2.NetworkAcl(self, f"{name}Acl", vpc=self.vpc, subnet_selection=ec2.SubnetSelection(subnets=subnets))
        accept(acl, "VPC3", "Meant as a second fence behind the security groups; its entries are pinned by a test")
        return acl

    def _add_entries(
        self,
        acl: ec2.NetworkAcl,
        name: str,
        direction: ec2.TrafficDirection,
        allowed: list[tuple[ec2.AclCidr, ec2.AclTraffic]],
        *,
        first: int = 100,
    ) -> None:
        for number, (cidr, traffic) in enumerate(allowed):
            acl.add_entry(
                f"{name}{number}", cidr=cidr, traffic=traffic, direction=direction, rule_number=first + number
            )

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(self, f"{name}Group", vpc=self.vpc, description=description, allow_all_outbound=False)

    def _allow(self) -> None:
        """Load balancer: 443 in, 8080 out. Tasks: 8080 in; 5432, 6379 and 443 out. Data: from tasks and Lambda only."""
        task, https = ec2.Port.tcp(TASK_PORT), ec2.Port.tcp(HTTPS_PORT)
        database, cache = ec2.Port.tcp(DATABASE_PORT), ec2.Port.tcp(CACHE_PORT)
        from_cloudfront = ec2.Peer.prefix_list(self.settings.edge.load_balancer_addresses)
        self.public_balancer.add_ingress_rule(from_cloudfront, https, "from CloudFront")
        self._connect(self.vpc_link, self.internal_balancer, https)
        for balancer in (self.public_balancer, self.internal_balancer):
            self._connect(balancer, self.tasks, task)
        for caller in (self.tasks, self.function):
            caller.add_egress_rule(ec2.Peer.any_ipv4(), https, "to the APIs of AWS")
            self._connect(caller, self.database, database)
            self._connect(caller, self.cache, cache)

    def _connect(self, caller: ec2.SecurityGroup, called: ec2.SecurityGroup, port: ec2.Port) -> None:
        caller.add_egress_rule(called, port, f"to {called.node.id}")
        called.add_ingress_rule(caller, port, f"from {caller.node.id}")
