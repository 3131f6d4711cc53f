"""The machine a figure was taken on."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from shared.errors import ConfigError
from shared.store.server_place import find_binary


def machine() -> dict[str, Any]:
    """Cores we may use, processor, Python, Valkey, and how busy it was just before."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "python": platform.python_version(),
        "valkey": _valkey(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _valkey() -> str:
    try:
        told = subprocess.run([find_binary(), "--version"], capture_output=True, check=True)
    except (ConfigError, OSError, subprocess.CalledProcessError):
        return "none"
    words = told.stdout.decode().split()
    return next((word[2:] for word in words if word.startswith("v=")), "unknown")
