"""What stands between the world and the load balancers."""

from collections.abc import Callable
from typing import Final

from tests.infra.assembly import Properties
from tests.infra.design.finds import Find, Row


def rule(scope: str, has: Callable[[Properties], object]) -> Find:
    return Find("WAFv2::WebACL", lambda p: p["Scope"] == scope and any(has(one["Statement"]) for one in p["Rules"]))


def managed(name: str) -> Callable[[Properties], object]:
    return lambda s: s.get("ManagedRuleGroupStatement", {}).get("Name") == name


EDGE: Final = (
    Row("edge", "Route 53", [Find("Route53::RecordSet", lambda p: p["Type"] in {"A", "AAAA"}, count=2, stack="edge")]),
    Row(
        "edge",
        "CloudFront (Shield Standard)",
        [
            Find(
                "CloudFront::Distribution",
                lambda p: p["DistributionConfig"]["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021",
            )
        ],
    ),
    Row(
        "edge",
        "WAF: SQL injection, XSS, rate, countries",
        [
            rule(scope, has)
            for scope in ("CLOUDFRONT", "REGIONAL")
            for has in (
                managed("AWSManagedRulesSQLiRuleSet"),
                managed("AWSManagedRulesCommonRuleSet"),
                lambda s: "RateBasedStatement" in s,
                lambda s: "GeoMatchStatement" in s,
            )
        ],
    ),
)
