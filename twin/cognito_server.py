"""MiniStack whose user pools outlive `kill -9`. Runs in the image of `cognito.Dockerfile`, which pins MiniStack 1.5.33.

MiniStack writes its state when it stops, and a process that is killed does not stop. Here the state of Cognito is
written, by MiniStack's own means, before the answer to any call that may have changed it: what was answered is kept.
The keys that sign tokens it writes by itself when it makes them, so tokens stay valid over a restart as well.

Leans on four names of MiniStack that are not its public interface: `app.app`, `app.main`, `persistence.save_all` and
`services.cognito.get_state`. Whoever raises the pinned version looks them up; tests/compose notices.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import ministack.app
from ministack.core.persistence import save_all
from ministack.services import cognito

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

TARGET_HEADER = b"x-amz-target"
READING = ("List", "Describe", "Get", "AdminGet", "AdminList")
"""Actions whose names begin so change nothing."""


class SavedBeforeAnswered:
    """The application, with the user pools written to disk before each answer to a call that may change them."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection of the ASGI server."""
        if not _may_change(scope):
            await self._application(scope, receive, send)
            return

        async def send_when_saved(message: Message) -> None:
            if message["type"] == "http.response.start":
                save_all({"cognito": cognito.get_state})
            await send(message)

        await self._application(scope, receive, send_when_saved)


def _may_change(scope: Message) -> bool:
    """Whether this is anything but a call that only reads."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    target = dict(scope["headers"]).get(TARGET_HEADER, b"").decode("latin-1")
    return not target.rpartition(".")[2].startswith(READING)


if __name__ == "__main__":
    ministack.app.app = SavedBeforeAnswered(ministack.app.app)
    ministack.app.main()
