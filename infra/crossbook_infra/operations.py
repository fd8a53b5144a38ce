"""What people look at and what wakes them: dashboards, alarms, and how traces are sampled."""

from collections.abc import Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_xray as xray
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.measures import MINUTE, aws, drawn
from crossbook_infra.stack import ExchangeStack
from crossbook_infra.watches import Watch, all_watches
from exchange_adapters.metrics import METRICS

SERVICES: Final = ("gateway", "matcher", "persister", "fanout")
_WIDTH: Final = 8
_TRACES_SAMPLED: Final = 0.01


class OperationsStack(ExchangeStack):
    """Alarms go to one topic; who is on call subscribes to it."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, records_key: kms.IKey) -> None:
        super().__init__(scope, settings, "operations", "Crossbook: dashboards, alarms, traces")
        self.topic = sns.Topic(
            self, "Alarms", topic_name=f"{settings.prefix}-alarms", master_key=records_key, enforce_ssl=True
        )
        self.alarms = [self._alarm(watch) for watch in all_watches(settings)]
        self._overview()
        for service in SERVICES:
            self._dashboard(service)
        self._traces()
        cdk.CfnOutput(self, "AlarmTopic", value=self.topic.topic_arn)

    def _alarm(self, watch: Watch) -> cloudwatch.Alarm:
        missing = cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            watch.name,
            alarm_name=f"{self.settings.prefix}-{watch.name}",
            alarm_description=f"{watch.meaning}. Runbook: docs/runbooks/{watch.runbook}.md",
            metric=watch.metric,
            threshold=watch.threshold,
            comparison_operator=watch.beyond,
            evaluation_periods=watch.minutes,
            treat_missing_data=missing.BREACHING if watch.is_alive else missing.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))
        return alarm

    def _overview(self) -> None:
        """All alarms at a glance, and what AWS itself says of the links between the services."""
        board = self._board("overview")
        board.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self.alarms, width=24, height=8))
        queues = [
            aws("SQS", "ApproximateAgeOfOldestMessage", {"QueueName": queue.name}, statistic="Maximum")
            for queue in self.topology.queues
        ]
        tables = [
            aws("DynamoDB", "ConsumedWriteCapacityUnits", {"TableName": table.name}) for table in self.topology.tables
        ]
        stream = {"StreamName": self.topology.executions.name}
        board.add_widgets(
            self._graph("Oldest command (s)", queues),
            self._graph("Stream (bytes in)", [aws("Kinesis", "IncomingBytes", stream)]),
            self._graph(
                "Settlement behind (ms)",
                [
                    aws(
                        "Lambda",
                        "IteratorAge",
                        {"FunctionName": f"{self.settings.prefix}-persister"},
                        statistic="Maximum",
                    )
                ],
            ),
        )
        cluster = {"DBClusterIdentifier": self.settings.prefix}
        board.add_widgets(
            self._graph("Table writes (units)", tables),
            self._graph(
                "Aurora CPU (%)",
                [
                    aws("RDS", "CPUUtilization", {**cluster, "Role": role}, statistic="Average")
                    for role in ("WRITER", "READER")
                ],
            ),
            self._graph(
                "Redis CPU (%)",
                [
                    aws(
                        "ElastiCache",
                        "EngineCPUUtilization",
                        {"CacheClusterId": f"{self.settings.prefix}-001"},
                        statistic="Average",
                    )
                ],
            ),
        )

    def _dashboard(self, service: str) -> None:
        """Every metric that the service emits, in the order of their list."""
        graphs = [
            self._graph(f"{metric.name}: {metric.meaning}", drawn(self.settings, metric))
            for metric in METRICS
            if metric.service == service
        ]
        board = self._board(service)
        for first in range(0, len(graphs), 24 // _WIDTH):
            board.add_widgets(*graphs[first : first + 24 // _WIDTH])

    def _board(self, name: str) -> cloudwatch.Dashboard:
        return cloudwatch.Dashboard(
            self,
            f"{name.title()}Dashboard",
            dashboard_name=f"{self.settings.prefix}-{name}",
            default_interval=cdk.Duration.hours(3),
        )

    def _graph(self, title: str, lines: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=lines, width=_WIDTH, height=6, period=MINUTE)

    def _traces(self) -> None:
        xray.CfnGroup(
            self,
            "Slow",
            group_name=f"{self.settings.prefix}-slow",
            filter_expression="responsetime > 0.03 OR fault = true",
            insights_configuration=xray.CfnGroup.InsightsConfigurationProperty(
                insights_enabled=True, notifications_enabled=False
            ),
        )
        xray.CfnSamplingRule(
            self,
            "Sampling",
            sampling_rule=xray.CfnSamplingRule.SamplingRuleProperty(
                rule_name=self.settings.prefix,
                priority=1000,
                reservoir_size=5,
                fixed_rate=_TRACES_SAMPLED,
                host="*",
                http_method="*",
                resource_arn="*",
                service_name="*",
                service_type="*",
                url_path="*",
                version=1,
            ),
        )
