"""When a service gets more tasks and when fewer."""

import aws_cdk as cdk
import jsii
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from constructs import Construct, IConstruct

from crossbook_infra.config import ScalingConfig, TaskConfig

_MINUTE = cdk.Duration.minutes(1)
_IN_AFTER_MINUTES = 5


def scale(
    scope: Construct,
    service: ecs.FargateService,
    task: TaskConfig,
    config: ScalingConfig,
    targets: elb.ApplicationTargetGroup | None,
) -> None:
    """Half as many tasks more when one of the signals is high, a quarter fewer when all have been low for a while.

    Between the steps a service that is called is kept at the requests a task that the steps start from, upwards only:
    target tracking adds what the load needs, the steps what it needs at once.
    """
    target = service.auto_scale_task_count(min_capacity=task.tasks_min, max_capacity=task.tasks_max)
    signals = _signals(service, config, targets)
    out = _policy(scope, "Out", target, change_percent=config.out_percent, cooldown_s=config.cooldown_s)
    for name, (metric, threshold) in signals.items():
        alarm = metric.create_alarm(
            scope,
            f"{name}High",
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(_Scaling(out))
    fewer = _policy(scope, "In", target, change_percent=-config.in_percent, cooldown_s=config.cooldown_s)
    _all_low(signals).create_alarm(
        scope,
        "AllLow",
        threshold=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=_IN_AFTER_MINUTES,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    ).add_alarm_action(_Scaling(fewer))
    if targets is not None:
        target.scale_on_request_count(
            "Requests",
            requests_per_target=config.requests * 60,
            target_group=targets,
            disable_scale_in=True,
            scale_out_cooldown=cdk.Duration.seconds(config.cooldown_s),
            scale_in_cooldown=cdk.Duration.seconds(config.cooldown_s),
        )


def _signals(
    service: ecs.FargateService, config: ScalingConfig, targets: elb.ApplicationTargetGroup | None
) -> dict[str, tuple[cloudwatch.IMetric, float]]:
    signals: dict[str, tuple[cloudwatch.IMetric, float]] = {
        "Cpu": (service.metric_cpu_utilization(period=_MINUTE), config.cpu_percent),
        "Memory": (service.metric_memory_utilization(period=_MINUTE), config.memory_percent),
    }
    if targets is not None:
        a_minute = targets.metrics.request_count_per_target(period=_MINUTE, statistic="Sum")
        a_second = cloudwatch.MathExpression(
            expression="total / 60", using_metrics={"total": a_minute}, period=_MINUTE, label="requests a task"
        )
        signals["Requests"] = (a_second, config.requests)
    return signals


def _all_low(signals: dict[str, tuple[cloudwatch.IMetric, float]]) -> cloudwatch.MathExpression:
    """1 while every signal is under half of its threshold, else 0."""
    names = {name.lower(): signal for name, signal in signals.items()}
    conditions = " AND ".join(f"{name} < {threshold / 2:g}" for name, (_, threshold) in names.items())
    return cloudwatch.MathExpression(
        expression=f"IF({conditions}, 1, 0)",
        using_metrics={name: metric for name, (metric, _) in names.items()},
        period=_MINUTE,
        label="all low",
    )


@jsii.implements(cloudwatch.IAlarmAction)
class _Scaling:
    """An alarm's action: a step policy. (The CDK's own step scaling makes an alarm a metric and policy.)"""

    def __init__(self, policy: autoscaling.CfnScalingPolicy) -> None:
        self._policy = policy

    def bind(self, scope: IConstruct, alarm: cloudwatch.IAlarm) -> cloudwatch.AlarmActionConfig:  # noqa: ARG002
        """The policy's ARN is what its reference resolves to."""
        return cloudwatch.AlarmActionConfig(alarm_action_arn=self._policy.ref)


def _policy(
    scope: Construct, name: str, target: ecs.ScalableTaskCount, *, change_percent: int, cooldown_s: int
) -> autoscaling.CfnScalingPolicy:
    resource = target.node.find_child("Target").node.default_child
    assert isinstance(resource, autoscaling.CfnScalableTarget)
    return autoscaling.CfnScalingPolicy(
        scope,
        f"Scale{name}",
        policy_name=f"{cdk.Stack.of(scope).stack_name}-{name.lower()}",
        policy_type="StepScaling",
        scaling_target_id=resource.ref,
        step_scaling_policy_configuration=autoscaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty(
            adjustment_type="PercentChangeInCapacity",
            cooldown=cooldown_s,
            metric_aggregation_type="Average",
            min_adjustment_magnitude=1,
            step_adjustments=[
                autoscaling.CfnScalingPolicy.StepAdjustmentProperty(
                    scaling_adjustment=change_percent, metric_interval_lower_bound=0
                )
            ],
        ),
    )
