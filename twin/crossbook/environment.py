"""The variables that the processes of a twin are given: those of the machine, less what would mislead them."""

import os

MISLEADING = (
    "AWS_",
    "CROSSBOOK_",
    "COGNITO_",
    "DATABASE_",
    "REDIS_",
    "HTTP_",
    "KILL_AT",
    "OTEL_",
    "API_KEY_",
    "RATE_LIMIT_SCALE",
    "SERVICE_INSTANCE",
    "LOG_LEVEL",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def inherited_environment() -> dict[str, str]:
    """This process's own variables without the ones that the twin sets itself, and without proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(MISLEADING) and name.lower() not in PROXIES
    }
