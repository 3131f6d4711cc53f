"""OpenAI's chunks, made from what a native stream says."""

from collections.abc import Hashable
from typing import Any


class Chunks:
    """Makes the chunks of one stream: the same top on each, calls numbered as they begin."""

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self._calls: dict[Hashable, int] = {}
        self._open: dict[Hashable, bool] = {}

    def delta(self, finish: str | None = None, **delta: Any) -> dict[str, Any]:
        """A chunk that says `delta`."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**self.top, "choices": [choice]}

    def begin(self, key: Hashable, id_: Any, name: Any) -> dict[str, Any]:
        """A call begins; `key` is what the host knows it by."""
        index = self._calls[key] = len(self._calls)
        self._open[key] = False
        function = {"name": name, "arguments": ""}
        return self._call({"index": index, "id": id_, "type": "function", "function": function})

    def piece(self, key: Hashable, text: str) -> dict[str, Any]:
        """A piece of a call's arguments; KeyError where the call has not begun."""
        self._open[key] = self._open[key] or bool(text)
        return self._call({"index": self._calls[key], "function": {"arguments": text}})

    def end(self, key: Hashable, whole: str = "{}") -> list[dict[str, Any]]:
        """A call ends; `whole` are its arguments where no piece said any."""
        said = self._open.pop(key, True)
        if said:
            return []
        return [self._call({"index": self._calls[key], "function": {"arguments": whole}})]

    def end_all(self) -> list[dict[str, Any]]:
        """Ends the calls that did not."""
        return [chunk for key in tuple(self._open) for chunk in self.end(key)]

    def _call(self, piece: dict[str, Any]) -> dict[str, Any]:
        return self.delta(tool_calls=[piece])
