"""Who a user is: the port to the user directory, its refusals, and the adapter for Cognito."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from exchange_core.errors import Fatal, Throttled, Unavailable
from exchange_gateway.problems import Code, ProblemError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """What a log-in or a refresh gives. `refresh_token` is None where the old one stays good."""

    access_token: str
    refresh_token: str | None
    expires_in_s: int


class IdentityProvider(Protocol):
    """The user directory. Refusals are ProblemError with the codes named; faults are PortError."""

    async def sign_up(self, username: str, password: str, email: str | None) -> tuple[str, bool]:
        """Create a user: (user id, is confirmed). `username_taken`, `invalid_password`, `invalid_value`."""
        ...

    async def log_in(self, username: str, password: str) -> IssuedTokens:
        """Start a session. `invalid_credentials`, `user_not_confirmed`."""
        ...

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """A new access token for the same session. `invalid_credentials`."""
        ...


_REFUSALS = {
    "UsernameExistsException": (Code.USERNAME_TAKEN, "choose another user name"),
    "AliasExistsException": (Code.USERNAME_TAKEN, "choose another user name"),
    "InvalidPasswordException": (Code.INVALID_PASSWORD, "the password does not meet the policy"),
    "NotAuthorizedException": (Code.INVALID_CREDENTIALS, "user name or password is wrong"),
    "UserNotFoundException": (Code.INVALID_CREDENTIALS, "user name or password is wrong"),
    "UserNotConfirmedException": (Code.USER_NOT_CONFIRMED, "confirm the sign-up first"),
    "PasswordResetRequiredException": (Code.INVALID_CREDENTIALS, "the password must be reset"),
    "InvalidParameterException": (Code.INVALID_VALUE, "user name, password or e-mail is not acceptable"),
    "LimitExceededException": (Code.TOO_MANY_REQUESTS, "try again later"),
}
_THROTTLES = {"TooManyRequestsException", "ThrottlingException"}
_FATAL = {"ResourceNotFoundException", "AccessDeniedException", "UnrecognizedClientException"}


class CognitoIdentity:
    """A Cognito user pool, through one of its clients."""

    def __init__(self, client: Any, *, user_pool_id: str, client_id: str, auto_confirm: bool) -> None:
        self._client = client
        self._user_pool_id = user_pool_id
        self._client_id = client_id
        self._auto_confirm = auto_confirm

    async def sign_up(self, username: str, password: str, email: str | None) -> tuple[str, bool]:
        """See IdentityProvider."""
        attributes = [{"Name": "email", "Value": email}] if email else []
        async with _translated():
            answer = await self._client.sign_up(
                ClientId=self._client_id, Username=username, Password=password, UserAttributes=attributes
            )
            if self._auto_confirm:
                await self._client.admin_confirm_sign_up(UserPoolId=self._user_pool_id, Username=username)
        return answer["UserSub"], self._auto_confirm or bool(answer.get("UserConfirmed"))

    async def log_in(self, username: str, password: str) -> IssuedTokens:
        """See IdentityProvider."""
        return await self._authenticate("USER_PASSWORD_AUTH", {"USERNAME": username, "PASSWORD": password})

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """See IdentityProvider."""
        return await self._authenticate("REFRESH_TOKEN_AUTH", {"REFRESH_TOKEN": refresh_token})

    async def _authenticate(self, flow: str, parameters: dict[str, str]) -> IssuedTokens:
        async with _translated():
            answer = await self._client.initiate_auth(
                ClientId=self._client_id, AuthFlow=flow, AuthParameters=parameters
            )
        result = answer.get("AuthenticationResult")
        if result is None:
            raise ProblemError(Code.INVALID_CREDENTIALS, f"the log-in asks for {answer.get('ChallengeName')}")
        return IssuedTokens(
            access_token=result["AccessToken"],
            refresh_token=result.get("RefreshToken"),
            expires_in_s=int(result["ExpiresIn"]),
        )


@contextlib.asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except ClientError as error:
        name = error.response.get("Error", {}).get("Code", "")
        if name in _REFUSALS:
            code, detail = _REFUSALS[name]
            raise ProblemError(code, detail) from error
        if name in _THROTTLES:
            raise Throttled(name) from error
        if name in _FATAL:
            raise Fatal(f"cognito: {name}") from error
        log.warning("identity_failed", error=name)
        raise Unavailable(f"cognito: {name}") from error
    except (BotoCoreError, OSError, TimeoutError) as error:
        raise Unavailable(f"cognito: {type(error).__name__}") from error
