"""WAF: who and what is kept out before anything of ours sees it."""

from enum import Enum
from typing import Final

from aws_cdk import aws_wafv2 as waf

from crossbook_infra.stack import ExchangeStack

_MANAGED: Final = {
    "CrossSiteScripting": "AWSManagedRulesCommonRuleSet",
    "SqlInjection": "AWSManagedRulesSQLiRuleSet",
    "KnownBadInputs": "AWSManagedRulesKnownBadInputsRuleSet",
    "BadAddresses": "AWSManagedRulesAmazonIpReputationList",
}
_MINUTES_5_S: Final = 300


class Scope(Enum):
    """What is protected: a CloudFront distribution, or something in the region."""

    EDGE = "CLOUDFRONT"
    REGIONAL = "REGIONAL"


def firewall(stack: ExchangeStack, id_: str, scope: Scope) -> waf.CfnWebACL:
    """Countries, a rate an address, then AWS's own rules against SQL injection, cross-site scripting and the like."""
    edge = stack.settings.edge
    rules = [
        _rule(
            "Countries",
            0,
            waf.CfnWebACL.StatementProperty(
                geo_match_statement=waf.CfnWebACL.GeoMatchStatementProperty(country_codes=list(edge.countries_blocked))
            ),
        ),
        _rule(
            "Rate",
            1,
            waf.CfnWebACL.StatementProperty(
                rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                    limit=edge.requests_per_address_max, aggregate_key_type="IP", evaluation_window_sec=_MINUTES_5_S
                )
            ),
        ),
    ]
    for priority, (name, managed) in enumerate(_MANAGED.items(), start=2):
        statement = waf.CfnWebACL.StatementProperty(
            managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS", name=managed
            )
        )
        rules.append(
            waf.CfnWebACL.RuleProperty(
                name=name,
                priority=priority,
                statement=statement,
                override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
                visibility_config=_visible(name),
            )
        )
    return waf.CfnWebACL(
        stack,
        id_,
        name=f"{stack.settings.prefix}-{scope.value.lower()}",
        scope=scope.value,
        default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
        rules=rules,
        visibility_config=_visible(f"{stack.settings.prefix}-{scope.value.lower()}"),
    )


def _rule(name: str, priority: int, statement: waf.CfnWebACL.StatementProperty) -> waf.CfnWebACL.RuleProperty:
    return waf.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        statement=statement,
        action=waf.CfnWebACL.RuleActionProperty(block={}),
        visibility_config=_visible(name),
    )


def _visible(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
