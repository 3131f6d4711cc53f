"""What `/metrics` tells: counters of this process, without tenants, keys or model names."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE: Final = (b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60, 600)


class Metrics:
    """One registry a process. Children are kept: finding one costs as much as a count."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "headrace_http_request_seconds",
            "Time to answer, held waits included",
            ("route", "code"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._accepted = Counter(
            "headrace_jobs_accepted", "Jobs accepted", ("kind",), registry=self.registry
        )
        self._finished = Counter(
            "headrace_jobs_delivered",
            "Jobs whose end was delivered to a waiting caller",
            ("status",),
            registry=self.registry,
        )
        self._spared = Counter(
            "headrace_jobs_spared",
            "Jobs accepted without a call of their own: shared with an equal job, or cached",
            ("how",),
            registry=self.registry,
        )
        self.held = Gauge(
            "headrace_held_requests", "Requests waiting for their job", registry=self.registry
        )
        self.streams = Gauge(
            "headrace_open_streams", "Open event and token streams", registry=self.registry
        )
        self._bound: dict[tuple[str, str], Histogram] = {}
        self._kinds: dict[str, Counter] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """One answered request."""
        label = (route, f"{status // 100}xx")
        child = self._bound.get(label)
        if child is None:
            child = self._bound[label] = self._requests.labels(*label)
        child.observe(seconds)

    def accepted(self, kind: str) -> None:
        """One job accepted."""
        child = self._kinds.get(kind)
        if child is None:
            child = self._kinds[kind] = self._accepted.labels(kind)
        child.inc()

    def spared(self, how: str) -> None:
        """One job that needs no call of its own, as it seems now."""
        self._spared.labels(how).inc()

    def delivered(self, status: str) -> None:
        """One job's end told to who waited."""
        self._finished.labels(status).inc()

    def page(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)
