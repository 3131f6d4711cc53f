"""The exit codes of every verb, and which error ends in which."""

from shared.errors import GatewayError

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class Unreachable(GatewayError):  # noqa: N818 - what it says, in our vocabulary
    """No Headrace answers at the address; the message names it and says what to do."""


def of(error: GatewayError) -> int:
    """The exit code that tells `error` to a script."""
    return UNREACHABLE if isinstance(error, Unreachable) else USAGE
