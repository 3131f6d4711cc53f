import pytest

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.features import Features
from shared.core.model import CredentialRef, Kind, Paid
from shared.core.rooms import UNKNOWN_CONTEXT, Room
from shared.routing import CatalogRouter


def router(*models, plan="free"):
    provider = {"type": "openai-compatible", "base_url": "http://127.0.0.1:9/v1"}
    shown = [{"id": f"m{n}", "family": "sim", **model} for n, model in enumerate(models)]
    config = Config.model_validate({"providers": {"alpha": provider | {"models": shown}}})
    keys = [CredentialRef("a", "alpha", plan=plan)]
    return CatalogRouter(build(config, base=Config()), keys, margin=0.25)


def rooms(made, **more):
    return made.rooms(Features(kind=Kind.CHAT, model="sim", **more), "t1")


FREE = {"price_usd_per_1m": {"input": 0, "output": 0}, "max_output_tokens": 500}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        (FREE | {"context_window": 10_000}, 8_000),
        (FREE | {"context_window": 10_000, "limits": {"free": {"tpm": 3_000}}}, 3_000),
        (FREE, int(UNKNOWN_CONTEXT / 1.25)),
    ],
)
def test_a_call_takes_what_context_and_windows_let_it(model, tokens):
    assert rooms(router(model)) == (Room(tokens, 500),)


def test_rooms_are_in_order_and_of_every_lane():
    sizes = (9_000, 2_000, 4_000)
    found = rooms(router(*(FREE | {"context_window": each} for each in sizes)))
    assert [room.tokens for room in found] == [1_600, 3_200, 7_200]


def test_lanes_that_cost_do_not_count_where_free_ones_serve():
    paid = {"price_usd_per_1m": {"input": 1, "output": 1}, "context_window": 100_000}
    made = router(FREE | {"context_window": 10_000}, paid, plan="developer")
    assert rooms(made, paid=Paid.ALWAYS) == (Room(8_000, 500),)
    (only,) = rooms(router(paid, plan="developer"), paid=Paid.ALWAYS)
    assert only.tokens == 80_000


def test_lanes_that_may_never_serve_it_have_no_room():
    narrow = FREE | {"context_window": 9_000, "capabilities": ["chat"]}
    assert rooms(router(narrow), capabilities=frozenset({"json_schema"})) == ()
    assert rooms(router(narrow), allowed_models=frozenset({"other/x"})) == ()
    assert router(narrow).rooms(Features(kind=Kind.CHAT, model="unheard-of"), "t1") == ()
