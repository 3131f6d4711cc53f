"""`python -m cli.engines`: says whether `make up` should install the local engines first.

Exit code 0: `headrace up` would run them, and they are not all installed; 1: it need not.
"""

import sys

from cli import codes, processes, served
from cli.engines import found
from shared.errors import GatewayError

SIZE = "260 MB"


def main() -> int:
    """Prints what follows where something does; returns the exit code."""
    try:
        settings = processes.load()
        supply = served.look(settings.config, settings.refreshed)
    except GatewayError:
        return codes.FAILED  # `up` itself says what is wrong
    if settings.local is False or (settings.local is None and supply.served):
        return codes.FAILED
    if len(found.installed()) == len(found.KINDS):
        return codes.FAILED
    why = "" if settings.local else "no provider key found: "
    print(f"{why}installing small models to serve on this machine ({SIZE}) …", flush=True)
    return codes.OK


if __name__ == "__main__":
    sys.exit(main())
