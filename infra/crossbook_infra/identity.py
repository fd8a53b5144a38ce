"""Who users are: a Cognito user pool, the client that the gateway logs in with, the operators' group."""

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.stack import ExchangeStack, accept

OPERATORS_GROUP = "operators"
PASSWORD_LENGTH_MIN = 12
REFRESH_TOKEN_DAYS = 30
"""As long as the gateway lets a log-in be refreshed (`session_lifetime_hours`)."""


class IdentityStack(ExchangeStack):
    """Users sign up with a name and confirm their address by mail; operators are put into their group by hand."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig) -> None:
        super().__init__(scope, settings, "identity", "Crossbook: Cognito user pool")
        self.pool = cognito.UserPool(
            self,
            "Users",
            user_pool_name=settings.prefix,
            self_sign_up_enabled=True,
            sign_in_aliases=cognito.SignInAliases(username=True, email=True),
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            mfa=cognito.Mfa.OFF,
            feature_plan=cognito.FeaturePlan.PLUS if settings.is_kept else cognito.FeaturePlan.ESSENTIALS,
            standard_threat_protection_mode=(
                cognito.StandardThreatProtectionMode.FULL_FUNCTION if settings.is_kept else None
            ),
            password_policy=cognito.PasswordPolicy(
                min_length=PASSWORD_LENGTH_MIN,
                require_digits=True,
                require_uppercase=True,
                require_lowercase=True,
                require_symbols=True,
            ),
            deletion_protection=settings.is_kept,
            removal_policy=self.removal_policy,
        )
        if not settings.is_kept:
            accept(self.pool, "COG8", "Nobody's account is worth a threat's while where nothing is kept")
        accept(self.pool, "COG2", "The gateway's log-in has no second step yet: who enrolled a device were locked out")
        self.client = self.pool.add_client(
            "Gateway",
            user_pool_client_name="gateway",
            generate_secret=False,
            auth_flows=cognito.AuthFlow(user_password=True),
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            disable_o_auth=True,
            access_token_validity=cdk.Duration.hours(1),
            id_token_validity=cdk.Duration.hours(1),
            refresh_token_validity=cdk.Duration.days(REFRESH_TOKEN_DAYS),
        )
        cognito.CfnUserPoolGroup(
            self,
            "Operators",
            user_pool_id=self.pool.user_pool_id,
            group_name=OPERATORS_GROUP,
            description="List instruments, take deposits and withdrawals, halt trading",
        )
        cdk.CfnOutput(self, "UserPoolId", value=self.pool.user_pool_id)
        cdk.CfnOutput(self, "ClientId", value=self.client.user_pool_client_id)

    @property
    def login_environment(self) -> dict[str, str]:
        """What tells a service whose tokens to believe."""
        return {
            "COGNITO_USER_POOL_ID": self.pool.user_pool_id,
            "COGNITO_CLIENT_ID": self.client.user_pool_client_id,
            "COGNITO_ISSUER": self.issuer,
            "COGNITO_JWKS_URL": f"{self.issuer}/.well-known/jwks.json",
        }

    @property
    def issuer(self) -> str:
        """What stands in the tokens."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.pool.user_pool_id}"
