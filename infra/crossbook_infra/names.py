"""Names on the internet: the Route 53 zone, which exists, and a certificate for all names in it."""

from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.stack import ExchangeStack


class NameStack(ExchangeStack):
    """`domain` is the edge; `api.` and `stream.` are what the load balancers call themselves behind it."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig) -> None:
        super().__init__(scope, settings, "names", "Crossbook: certificate")
        self.domain = settings.edge.domain
        self.api_host = f"api.{self.domain}"
        self.stream_host = f"stream.{self.domain}"
        self.certificate = acm.Certificate(
            self,
            "Certificate",
            domain_name=self.domain,
            subject_alternative_names=[self.api_host, self.stream_host],
            validation=acm.CertificateValidation.from_dns(self.zone_in(self)),
            transparency_logging_enabled=True,
        )

    def zone_in(self, stack: ExchangeStack) -> route53.IHostedZone:
        """The zone, as the stack that adds records to it knows it."""
        return route53.HostedZone.from_hosted_zone_attributes(
            stack, "Zone", hosted_zone_id=self.settings.edge.hosted_zone_id, zone_name=self.domain
        )
