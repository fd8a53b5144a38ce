"""The faults that a port may raise; adapters translate every foreign error into one of these, once.

PortError
├── Throttled     try again later; nothing happened
├── Unavailable   could not be reached, or refused before any effect; nothing happened
├── Ambiguous     timed out or broke off: it may or may not have happened; read back before going on
├── Conflict      another writer was faster (a condition failed, a transaction was cancelled)
├── Gone          the thing named does not exist any more (an expired iterator, a dropped receipt)
└── Fatal         a wrong set-up or a bug: stop the process, a retry cannot help
"""


class PortError(Exception):
    """Root of everything that a port raises."""


class Throttled(PortError):
    """The store asked for a slower pace; nothing happened."""


class Unavailable(PortError):
    """The store could not be reached or refused the call before any effect."""


class Ambiguous(PortError):
    """The call broke off: the effect may or may not have taken place."""


class Conflict(PortError):
    """A condition did not hold because of another writer."""


class Gone(PortError):
    """What the call named no longer exists."""


class Fatal(PortError):
    """A retry cannot help: wrong permissions, a missing table, a malformed request of ours."""
