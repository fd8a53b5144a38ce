"""Traces: an OpenTelemetry collector beside each task, that takes what the service sends it and hands it to X-Ray.

The same collector, by AWS's own build of it, runs beside the Lambda as an extension, from a layer; its default
configuration has the same receiver and the same exporter.
"""

from typing import Final

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import region_info
from constructs import Construct

_IMAGE: Final = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
_LAYER_VERSION: Final = "0.115.0"
"""The newest whose ARNs the CDK has, a region each: AWS numbers its layers differently from region to region."""
_CONFIGURATION: Final = """\
extensions:
  health_check:
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:4318
processors:
  memory_limiter:
    check_interval: 1s
    limit_mib: 100
  batch:
    timeout: 1s
exporters:
  awsxray:
service:
  extensions: [health_check]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [awsxray]
"""


ENVIRONMENT: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.01",
}
"""What tells the SDK in a service where the collector is, and to trace one request in a hundred."""


def collector_layer(scope: Construct, region: str) -> lambda_.ILayerVersion:
    """The collector for a Lambda on x86-64. Nothing is uploaded: AWS shares the layer with everybody."""
    arn = region_info.RegionInfo.get(region).adot_lambda_layer_arn("GENERIC", _LAYER_VERSION, "x86_64")
    assert arn, f"there is no collector's layer for {region}"
    return lambda_.LayerVersion.from_layer_version_arn(scope, "Collector", arn)


def add_collector(definition: ecs.FargateTaskDefinition, group: logs.ILogGroup) -> None:
    """The service goes on without it: it is not essential, and traces are not what money depends on."""
    definition.add_container(
        "traces",
        image=ecs.ContainerImage.from_registry(_IMAGE),
        essential=False,
        cpu=64,
        memory_limit_mib=128,
        environment={"AOT_CONFIG_CONTENT": _CONFIGURATION},
        readonly_root_filesystem=True,
        logging=ecs.LogDrivers.aws_logs(stream_prefix="traces", log_group=group),
    )
    definition.task_role.add_to_principal_policy(
        iam.PolicyStatement(
            actions=[
                "xray:GetSamplingRules",
                "xray:GetSamplingTargets",
                "xray:PutTelemetryRecords",
                "xray:PutTraceSegments",
            ],
            resources=["*"],  # X-Ray knows no resources for these
        )
    )
