"""What can go wrong with a twin, told so that the reader knows what to do.

TwinError
├── PortInUseError          another program listens where the twin should
├── AlreadyRunningError     a twin with this state directory runs
├── NotRunningError         no twin with this state directory runs
├── WorldMismatchError      the halves of the state do not belong together
├── MixedWorldsError        the same, of an exchange in containers
├── ProcessError            a part did not start, or died for good
├── SetupError              something is missing, or not what it should be
└── SeedError               the exchange did not take the demo data
"""

from pathlib import Path


class TwinError(Exception):
    """A twin cannot do what was asked; the message is meant for the person at the terminal."""


class PortInUseError(TwinError):
    """Another program listens on a port that the twin needs."""

    def __init__(self, *, port: int, flag: str, purpose: str) -> None:
        super().__init__(
            f"port {port}, wanted for {purpose}, is in use by another program: stop that one, or choose another port "
            f"by {flag} (0 takes any free one)"
        )
        self.port = port
        self.flag = flag


class AlreadyRunningError(TwinError):
    """A twin with this state directory runs already."""


class NotRunningError(TwinError):
    """No twin with this state directory runs."""


class WorldMismatchError(TwinError):
    """The emulated cloud and the database hold the states of two different worlds, or of two times of one."""

    def __init__(self, *, finding: str, state_directory: Path, has_own_database: bool = True) -> None:
        besides = "" if has_own_database else " Empty the database that DATABASE_URL names as well."
        super().__init__(
            f"{finding}. An emulator that is killed loses its whole cloud, so the parts of this twin no longer belong "
            f"together and it does not start. `crossbook down --wipe --state-dir {state_directory}` forgets them; the "
            f"next `crossbook up` starts a new world.{besides}"
        )


class MixedWorldsError(TwinError):
    """The volumes and the emulated cloud of the containers do not belong together; nothing was changed."""

    def __init__(self, finding: str) -> None:
        super().__init__(
            f"{finding}. Parts of two worlds do not make one, so nothing was started and nothing was changed. "
            "`docker compose down --volumes` forgets all of it, orders and money too; the next `docker compose up` "
            "starts a new world."
        )


class ProcessError(TwinError):
    """A process of the twin did not start, did not become ready in time, or died and cannot be started again."""


class SetupError(TwinError):
    """Something that is needed is missing, or not what it should be."""


class SeedError(TwinError):
    """The exchange did not take the demo users, instruments or funds."""
