"""WebSocket frames (RFC 6455) made once and written to many connections, and the close codes that fanout uses.

A server's frames are not masked, and compression is off, so the same bytes are right for every client.
"""

import struct
from enum import IntEnum

_FINAL_TEXT = 0x81


class CloseCode(IntEnum):
    """Why fanout ended a connection; 4000 to 4999 are an application's own."""

    MESSAGE_TOO_BIG = 1009
    SERVICE_RESTART = 1012
    """Fanout stops: connect again, to another one or to this one in a moment."""
    TOO_SLOW = 4408
    """The client did not read as fast as the market moved. Connect again and resume by `seq`."""
    TOO_MANY_MESSAGES = 4429
    """The client went on sending although it was told that it sends too much."""


def text_frame(payload: bytes) -> bytes:
    """One final text frame around UTF-8 text."""
    length = len(payload)
    if length < 126:
        header = bytes((_FINAL_TEXT, length))
    elif length < 1 << 16:
        header = struct.pack("!BBH", _FINAL_TEXT, 126, length)
    else:
        header = struct.pack("!BBQ", _FINAL_TEXT, 127, length)
    return header + payload
