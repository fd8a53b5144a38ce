"""A load balancer: TLS in, plain HTTP to the tasks of one service in the VPC."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb

from crossbook_infra.fargate import FargateStack
from crossbook_infra.network import HTTPS_PORT, TASK_PORT


def balanced(
    stack: FargateStack, *, subnets: ec2.SubnetSelection, group: ec2.ISecurityGroup, is_public: bool, idle_s: int
) -> elb.ApplicationLoadBalancer:
    """In both zones, with its accesses logged."""
    balancer = elb.ApplicationLoadBalancer(
        stack,
        "Balancer",
        load_balancer_name=stack.stack_name,
        vpc=stack.layers.network.vpc,
        vpc_subnets=subnets,
        security_group=group,
        internet_facing=is_public,
        idle_timeout=cdk.Duration.seconds(idle_s),
        drop_invalid_header_fields=True,
        deletion_protection=stack.settings.is_kept,
    )
    balancer.log_access_logs(stack.layers.buckets.logs_in(stack), f"balancers/{stack.service_name}")
    return balancer


def listening(
    stack: FargateStack,
    balancer: elb.ApplicationLoadBalancer,
    service: ecs.FargateService,
    *,
    deregistration: cdk.Duration,
) -> elb.ApplicationTargetGroup:
    """TLS 1.2 or later; a task gets requests while it says that it is ready."""
    listener = balancer.add_listener(
        "Https",
        port=HTTPS_PORT,
        protocol=elb.ApplicationProtocol.HTTPS,
        certificates=[stack.layers.names.certificate],
        ssl_policy=elb.SslPolicy.TLS13_RES,
        open=False,
    )
    return listener.add_targets(
        "Tasks",
        port=TASK_PORT,
        protocol=elb.ApplicationProtocol.HTTP,
        targets=[service],
        deregistration_delay=deregistration,
        load_balancing_algorithm_type=elb.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
        health_check=elb.HealthCheck(
            path="/readyz",
            interval=cdk.Duration.seconds(5),
            timeout=cdk.Duration.seconds(2),
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
        ),
    )
