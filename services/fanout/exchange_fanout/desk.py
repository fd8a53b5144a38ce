"""What clients ask for, carried out: subscriptions, log-in, and their ends."""

from collections.abc import Iterable
from typing import Final

import structlog

from exchange_adapters.tokens import AuthenticationError, Principal
from exchange_core.errors import PortError
from exchange_core.ports import Clock, MarketCache
from exchange_core.private_data import BALANCE_EVENT, ORDER_EVENT
from exchange_core.topology import candle_channel, depth_channel, ticker_channel, trades_channel, user_channel
from exchange_fanout.connections import Connection
from exchange_fanout.guard import Guard, refusal
from exchange_fanout.hub import FeedUnavailableError, Hub
from exchange_fanout.limits import Limits
from exchange_fanout.messages import Message
from exchange_fanout.presence import Presence
from exchange_fanout.protocol import (
    Auth,
    Channel,
    ErrorCode,
    Ping,
    Request,
    RequestError,
    Subscribe,
    Topic,
    Unsubscribe,
    auth_ended_notice,
    authenticated_reply,
    pong_reply,
    subscribed_reply,
    unsubscribed_reply,
)
from exchange_fanout.subscriptions import DepthSubscription, EverySubscription, LatestSubscription, Subscription

_PRIVATE_PREFIXES: Final = {Channel.ORDERS: ORDER_EVENT, Channel.BALANCES: BALANCE_EVENT}
"""A user has one Redis channel for both."""

log = structlog.get_logger()


class SubscriptionDesk:
    """Answers requests of all connections of this node. One request of a connection at a time."""

    def __init__(
        self,
        *,
        hub: Hub,
        guard: Guard,
        presence: Presence,
        cache: MarketCache,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._hub = hub
        self._guard = guard
        self._presence = presence
        self._cache = cache
        self._clock = clock
        self._limits = limits

    async def answer(self, connection: Connection, request: Request) -> None:
        """Do what is asked and reply; raises RequestError, and then nothing has changed."""
        try:
            await self._carry_out(connection, request)
        except RequestError as error:
            error.refused(request)
            raise

    async def _carry_out(self, connection: Connection, request: Request) -> None:
        match request:
            case Subscribe():
                await self._subscribe(connection, request)
            case Unsubscribe():
                self._unsubscribe(connection, request)
                connection.reply(unsubscribed_reply(request))
            case Auth():
                principal = await self._authenticate(connection, request)
                connection.reply(authenticated_reply(request, principal.user_id, principal.expires_at_s))
            case Ping():
                connection.reply(pong_reply(request, self._clock.now_ms()))

    def leave(self, connection: Connection) -> None:
        """The connection has ended."""
        self._guard.forget(connection)
        self._leave(connection, tuple(connection.subscriptions))

    def end_private(self, connection: Connection, code: ErrorCode) -> None:
        """The connection's user is its own no more: the guard says so."""
        self._leave(connection, [topic for topic in connection.subscriptions if topic.channel.is_private])
        connection.reply(auth_ended_notice(code))
        log.info("authentication_ended", connection_id=connection.connection_id, code=code.value)

    async def _subscribe(self, connection: Connection, request: Subscribe) -> None:
        topics = [topic for topic in request.topics if topic not in connection.subscriptions]
        limit = self._limits.subscriptions_max
        if len(connection.subscriptions) + len(topics) > limit:
            raise RequestError(ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"at most {limit} subscriptions")
        principal = self._principal_for(connection, request)
        begun = {topic: self._begin(connection, topic, principal) for topic in topics}
        try:
            await self._hub.watch(tuple(begun.values()), timeout_s=self._limits.subscribe_timeout_s)
        except FeedUnavailableError:
            raise RequestError(ErrorCode.FEED_UNAVAILABLE, "the feed is away; try again") from None
        if principal is not None and self._guard.principal(connection) is None:
            for subscription in begun.values():
                self._hub.unwatch(subscription)
            raise RequestError(ErrorCode.AUTHENTICATION_REQUIRED, "the log-in has ended")
        # No await from the subscriptions' first moment to this: the answer comes before their first message.
        connection.reply(subscribed_reply(request))
        for topic, subscription in begun.items():
            connection.subscriptions[topic] = subscription
            if topic.symbol:
                self._presence.watch(connection.connection_id, topic.symbol)
        await self._show_first(connection, request.topics, begun)

    async def _show_first(
        self, connection: Connection, topics: Iterable[Topic], begun: dict[Topic, Subscription]
    ) -> None:
        """What there is to see at once: the book (again, for who asks again), and the ticker as it was last."""
        for topic in topics:
            subscription = connection.subscriptions.get(topic)
            if isinstance(subscription, DepthSubscription):
                subscription.begin()
        for topic, subscription in begun.items():
            if topic.channel is Channel.TICKER and isinstance(subscription, LatestSubscription):
                try:
                    latest = await self._cache.get(ticker_channel(topic.symbol))
                except PortError:
                    continue
                if latest is not None and not subscription.has_begun:
                    subscription.deliver(Message(latest))

    def _principal_for(self, connection: Connection, request: Subscribe) -> Principal | None:
        if not request.topics[0].channel.is_private:
            return None
        principal = self._guard.principal(connection)
        if principal is None:
            raise RequestError(ErrorCode.AUTHENTICATION_REQUIRED, "send auth with a token first")
        return principal

    def _begin(self, connection: Connection, topic: Topic, principal: Principal | None) -> Subscription:
        match topic.channel:
            case Channel.TRADE:
                return EverySubscription(connection, trades_channel(topic.symbol))
            case Channel.DEPTH:
                channel = depth_channel(topic.symbol)
                return DepthSubscription(connection, channel, lambda: self._hub.snapshot(channel))
            case Channel.TICKER:
                return LatestSubscription(connection, ticker_channel(topic.symbol))
            case Channel.CANDLE:
                return LatestSubscription(connection, candle_channel(topic.symbol, topic.interval))
            case Channel.ORDERS | Channel.BALANCES:
                assert principal is not None, "only whoever has logged in gets here"
                return EverySubscription(connection, user_channel(principal.user_id), _PRIVATE_PREFIXES[topic.channel])

    def _unsubscribe(self, connection: Connection, request: Unsubscribe) -> None:
        if not all(topic in connection.subscriptions for topic in request.topics):
            raise RequestError(ErrorCode.NOT_SUBSCRIBED, "there is no such subscription")
        self._leave(connection, request.topics)

    def _leave(self, connection: Connection, topics: Iterable[Topic]) -> None:
        for topic in topics:
            subscription = connection.subscriptions.pop(topic)
            self._hub.unwatch(subscription)
            if not isinstance(subscription, EverySubscription):
                connection.forget(subscription)
            if topic.symbol and all(other.symbol != topic.symbol for other in connection.subscriptions):
                self._presence.unwatch(connection.connection_id, topic.symbol)

    async def _authenticate(self, connection: Connection, request: Auth) -> Principal:
        try:
            return await self._guard.admit(connection, request.token)
        except AuthenticationError as error:
            raise refusal(error) from error
        except PortError as error:
            log.warning("authentication_failed", error=str(error), kind=type(error).__name__)
            reason = "tokens cannot be checked now; try again"
            raise RequestError(ErrorCode.AUTHENTICATION_UNAVAILABLE, reason) from error
