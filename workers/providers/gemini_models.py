"""How Gemini's generations differ: told by a model's name, as Google numbers them.

Sources: shared/facts/wire-chat.md 1.2; which levels a model takes, read 2026-11:
docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking
"""

import re
from dataclasses import dataclass
from typing import Any

_VERSION = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?")
_LATEST = (3, 0)  # aliases such as gemini-flash-latest
_LEVELS_FROM = (3, 0)
_BUDGETS_FROM = (2, 5)
_MINIMAL = ("gemini-3-flash", "gemini-3.1-flash-lite", "gemini-3.5-flash", "gemini-3.6-flash")
_XHIGH = ("gemini-4-hydrogen",)
_NO_MEDIUM = ("gemini-3-pro",)
_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
    "max": "XHIGH",
}
_BUDGETS = {
    "none": 0,
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 24_576,
}
_LEAST_OF_PRO = 128  # gemini-2.5-pro always thinks


@dataclass(frozen=True, slots=True)
class Facts:
    """What one model takes. `version` (0, 0) is no Gemini (Gemma and others on the same wire)."""

    model: str
    version: tuple[int, int]

    @property
    def takes_call_ids(self) -> bool:
        """Calls and results have ids; before, they are matched by name and order."""
        return self.version >= _LEVELS_FROM

    @property
    def wants_signatures(self) -> bool:
        """A call in the history without a signature is refused."""
        return self.version >= _LEVELS_FROM

    @property
    def json_with_tools(self) -> bool:
        """JSON may be asked for together with functions."""
        return self.version >= _LEVELS_FROM

    def thinking(self, effort: Any) -> tuple[dict[str, Any] | None, bool]:
        """`thinkingConfig` for an effort, and whether it is less than was asked for.

        None where the model knows no such setting, or the effort is not known.
        """
        if not isinstance(effort, str) or effort not in _LEVELS or self.version < _BUDGETS_FROM:
            return None, True
        if self.version >= _LEVELS_FROM:
            return {"thinkingLevel": self._level(_LEVELS[effort])}, effort == "none"
        if effort == "none" and "pro" in self.model:
            return {"thinkingBudget": _LEAST_OF_PRO}, True
        return {"thinkingBudget": _BUDGETS[effort]}, False

    def _level(self, wanted: str) -> str:
        """The nearest level this model has: it refuses others."""
        if wanted == "MINIMAL" and not self.model.startswith(_MINIMAL):
            return "LOW"
        if wanted == "XHIGH" and not self.model.startswith(_XHIGH):
            return "HIGH"
        return "HIGH" if wanted == "MEDIUM" and self.model.startswith(_NO_MEDIUM) else wanted


def facts_of(model: str) -> Facts:
    """What is known of a model by its name."""
    found = _VERSION.match(model)
    if found:
        return Facts(model, (int(found[1]), int(found[2] or 0)))
    return Facts(model, _LATEST if model.startswith("gemini") else (0, 0))
