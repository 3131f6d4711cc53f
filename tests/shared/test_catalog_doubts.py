"""What is old, doubtful or about to end."""

from datetime import date

import pytest

from shared import catalog
from shared.catalog_doubts import doubts
from shared.catalog_schema import Config

TODAY = date(2026, 11, 25)


def said(provider):
    docs = Config.model_validate({"providers": {"p": provider}}).providers
    return doubts(docs, TODAY)


@pytest.mark.parametrize(
    ("provider", "lines"),
    [
        ({"as_of": "2026-08-27"}, []),
        ({"as_of": "2026-08-26"}, ["p: of 2026-08-26, 91 days old"]),
        ({"doubt": "from a blog"}, ["p: from a blog"]),
        ({"status": "uncertain"}, ["p: status uncertain"]),
        ({"status": "retired", "doubt": "x", "as_of": "2020-01-01"}, []),
        ({"models": [{"id": "m", "ends": "2026-12-11"}]}, ["p/m: ends on 2026-12-11"]),
        ({"models": [{"id": "m", "ends": "2026-11-25"}]}, ["p/m: has ended on 2026-11-25"]),
        ({"models": [{"id": "m", "ends": "2027-12-11"}]}, []),
        ({"models": [{"id": "m", "doubt": "x", "status": "retired"}]}, []),
        ({"models": [{"id": "m", "as_of": "2026-01-01"}]}, ["p/m: of 2026-01-01, 328 days old"]),
        (
            {"limits": {"free": {"rpm": 1, "as_of": "2026-01-01", "doubt": "told"}}},
            [
                "p: limits of plan free: of 2026-01-01, 328 days old",
                "p: limits of plan free: told",
            ],
        ),
        (
            {"pools": {"q": {"free": {"rpm": 1, "doubt": "told"}}}},
            ["p: limits of plan free: told"],
        ),
    ],
)
def test_a_figure_says_what_is_wrong_with_it(provider, lines):
    assert said(provider) == lines


def test_what_many_models_say_alike_is_one_line():
    limits = {"free": {"rpm": 1, "doubt": "told"}}
    models = [{"id": name, "limits": limits} for name in "abc"]
    assert said({"models": models}) == ["p: limits of plan free: told"]


def test_our_own_catalog_admits_what_is_doubtful():
    found = doubts(catalog.read_config(catalog.catalog_path()).providers, TODAY)
    assert any(line.startswith("hyperbolic: of 2025-12-31") for line in found)
    assert "anthropic/claude-sonnet-4-5: ends on 2026-11-30" in found
    assert "groq: limits of plan developer: of 2026-08-14, 103 days old" in found
