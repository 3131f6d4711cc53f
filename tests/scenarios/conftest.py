"""The whole system for a story: a simulator and `headrace up`, as real processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from whole import Whole, whole_system


@pytest.fixture
def start() -> Iterator[Callable[..., Whole]]:
    """Starts a whole system over simulated providers; it ends with the test."""
    with ExitStack() as stack:
        yield lambda *given, **options: stack.enter_context(whole_system(*given, **options))


@pytest.fixture(scope="module")
def plain() -> Iterator[Whole]:
    """Two providers without limits, shared by a module's stories."""
    with whole_system("unlimited") as system:
        yield system
