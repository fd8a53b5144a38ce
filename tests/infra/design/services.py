"""The services: how large, how many, and how their number follows the load."""

from collections.abc import Sequence
from typing import Final

from tests.infra.assembly import Properties, as_text
from tests.infra.design.finds import Find, Row, high


def tagged(service: str) -> Sequence[Find]:
    """The tasks of a service: how large, how many, and how their number follows the load."""
    finds = [
        Find("ECS::TaskDefinition", lambda p: (p["Cpu"], p["Memory"]) == ("2048", "4096"), stack=service),
        Find(
            "ECS::TaskDefinition",
            lambda p: all(container["ReadonlyRootFilesystem"] for container in p["ContainerDefinitions"]),
            stack=service,
        ),
        Find(
            "ECS::Service",
            lambda p: (
                p["DesiredCount"] == 10
                and p["LaunchType"] == "FARGATE"
                and len(p["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]) == 2
            ),
            stack=service,
        ),
        Find(
            "ApplicationAutoScaling::ScalableTarget",
            lambda p: (p["MinCapacity"], p["MaxCapacity"]) == (10, 200),
            stack=service,
        ),
        stepped(service, 50),
        stepped(service, -25),
        high(service, "CPUUtilization", 70),
        high(service, "MemoryUtilization", 80),
    ]
    if service != "matcher":
        finds += [requests(service), tracked(service)]
    return finds


def stepped(service: str, percent: int) -> Find:
    def is_it(p: Properties) -> bool:
        step = p.get("StepScalingPolicyConfiguration", {})
        return bool(
            step
            and step["AdjustmentType"] == "PercentChangeInCapacity"
            and step["Cooldown"] == 120
            and [one["ScalingAdjustment"] for one in step["StepAdjustments"]] == [percent]
        )

    return Find("ApplicationAutoScaling::ScalingPolicy", is_it, stack=service)


def tracked(service: str) -> Find:
    def is_it(p: Properties) -> bool:
        tracking = p.get("TargetTrackingScalingPolicyConfiguration", {})
        return bool(tracking) and (tracking["TargetValue"], tracking["ScaleOutCooldown"]) == (50 * 60, 120)

    return Find("ApplicationAutoScaling::ScalingPolicy", is_it, stack=service)


def requests(service: str) -> Find:
    return Find(
        "CloudWatch::Alarm",
        lambda p: (
            p["Threshold"] == 50
            and any(one.get("Expression") == "total / 60" and one["ReturnData"] for one in p.get("Metrics", []))
        ),
        stack=service,
    )


SERVICES: Final = (
    *(
        Row(
            "services",
            f"Fargate: {service} (2 vCPU, 4 GB; 5 tasks a zone, min 10, max 200; out +50 %, in −25 %, cooldown 2 min, "
            "on CPU > 70 %, memory > 80 %"
            + (")" if service == "matcher" else ", requests > 50 a task)")
            + "; read-only root filesystem",
            tagged(service),
        )
        for service in ("gateway", "matcher", "fanout")
    ),
    Row(
        "services",
        "Fargate: reconciler, the persister's other mode (1/2 vCPU, 4 GB; one task)",
        [
            Find(
                "ECS::TaskDefinition",
                lambda p: (
                    (p["Cpu"], p["Memory"]) == ("512", "4096")
                    and "exchange_persister.reconcile" in as_text(p["ContainerDefinitions"][0]["Command"])
                    and "RefPersister" in as_text(p["ContainerDefinitions"][0]["Image"])
                    and all(container["ReadonlyRootFilesystem"] for container in p["ContainerDefinitions"])
                ),
                stack="reconciler",
            ),
            Find(
                "ECS::Service",
                lambda p: p["DesiredCount"] == 1 and p["LaunchType"] == "FARGATE",
                stack="reconciler",
            ),
            Find("ApplicationAutoScaling::ScalableTarget", count=0, stack="reconciler"),
        ],
    ),
    Row(
        "services",
        "Lambda: persister",
        [
            Find("Lambda::Function", lambda p: p["Handler"] == "exchange_persister.lambda_handler.handler"),
            Find(
                "Lambda::EventSourceMapping",
                lambda p: (
                    p["BisectBatchOnFunctionError"]
                    and p["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
                    and p["ParallelizationFactor"] == 1
                    and p["StartingPosition"] == "TRIM_HORIZON"
                    and "MaximumRetryAttempts" not in p
                    and "MaximumRecordAgeInSeconds" not in p
                    and "DestinationConfig" not in p
                ),
            ),
        ],
    ),
    Row(
        "services",
        "a role each",
        [
            *(
                Find("IAM::Role", lambda p, who=who: p.get("Description") == f"What Crossbook's {who} may do")
                for who in ("gateway", "matcher", "persister", "reconciler", "fanout")
            )
        ],
    ),
    Row(
        "services",
        "image scan",
        [
            Find(
                "ECR::Repository",
                lambda p: (
                    p["ImageScanningConfiguration"] == {"ScanOnPush": True} and p["ImageTagMutability"] == "IMMUTABLE"
                ),
                count=5,
            )
        ],
    ),
)
