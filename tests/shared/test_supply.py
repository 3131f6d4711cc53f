"""What a process serves: environment and configuration with the store's rows over them."""

import asyncio
from dataclasses import replace

import pytest

from shared.catalog_schema import Config
from shared.core.model import Deployment, Kind
from shared.credentials import Secret
from shared.store import connect
from shared.store.tables import Keys, Rows, Tables
from shared.supply import Base, Live, assemble
from shared.vault import Vault

VAULT = Vault(Secret("a master key of thirty-two letters"))
CONFIG = Config.model_validate(
    {
        "providers": {
            "alpha": {
                "type": "openai-compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "env": ["ALPHA_KEY"],
                "credentials": [{"id": "a1", "key": "sk-a1-0123456789", "plan": "free"}],
                "models": [{"id": "m", "limits": {"free": {"rpm": 1}, "paid": {"rpm": 9}}}],
            }
        }
    }
)


def base(env=(), **more):
    return Base(CONFIG, dict(env), ours=Config(), **{"vault": VAULT, **more})


def row(id_, key="sk-x-0123456789abc", provider="alpha", **more):
    return {id_: {"provider": provider, "sealed": VAULT.seal(Secret(key), id_), **more}}


def provider(**more):
    doc = {"type": "openai-compatible", "base_url": "http://192.0.2.1/v1", "models": [{"id": "n"}]}
    return {"doc": {**doc, **more}, "created_ms": 1}


def test_what_the_store_keeps_is_served_beside_the_rest():
    rows = Rows(1, row("cred_1", priority=3), {"beta": provider(no_auth=True)})
    supply = assemble(base({"ALPHA_KEY": "sk-e1,sk-e2", "ALPHA_KEY_2": "sk-e3"}), rows)
    names = [(held.ref.id, held.source) for held in supply.held]
    assert names == [
        ("a1", "configuration"), ("alpha-1", "environment"), ("alpha-2", "environment"),
        ("alpha-3", "environment"), ("beta-1", "none"), ("cred_1", "api"),
    ]  # fmt: skip
    assert supply.secret("cred_1").reveal() == "sk-x-0123456789abc"
    assert supply.ref("cred_1").priority == 3
    assert supply.providers == ("alpha", "beta")
    assert len(supply.siblings("a1")) == 4


def test_what_is_disabled_or_cannot_be_opened_is_not_used_and_says_why():
    other = Vault(Secret("another master key of 32 letters!!"))
    rows = Rows(
        1,
        {
            **row("cred_off", enabled=False),
            **row("cred_gone", provider="nobody"),
            "cred_alien": {"provider": "alpha", "sealed": other.seal(Secret("k"), "cred_alien")},
            "a1": {"enabled": False},
        },
    )
    supply = assemble(base(), rows)
    problems = {held.ref.id: held.problem for held in supply.held}
    assert not supply.credentials.refs
    assert problems["cred_off"] == ""
    assert "nobody" in problems["cred_gone"]
    assert "HEADRACE_SECRET_KEY" in problems["cred_alien"]
    keyless = assemble(base(vault=None), rows)
    assert "HEADRACE_SECRET_KEY is not set" in keyless.held[1].problem


def test_a_detected_plan_holds_only_where_none_was_declared():
    rows = Rows(1, row("cred_1") | row("cred_2", plan="free"), plans={
        "a1": "paid", "cred_1": "paid", "cred_2": "paid",
    })  # fmt: skip
    supply = assemble(base(), rows)
    found = {held.ref.id: (held.ref.plan, held.plan_source) for held in supply.held}
    assert found == {
        "a1": ("free", "declared"), "cred_1": ("paid", "detected"), "cred_2": ("free", "declared"),
    }  # fmt: skip


def test_a_stored_provider_never_hides_one_of_the_configuration():
    supply = assemble(base(), Rows(1, providers={"alpha": provider(), "beta": provider()}))
    assert supply.whole.provider("alpha").base_url == "http://127.0.0.1:9/v1"
    assert supply.whole.provider("beta").guarded
    assert not supply.whole.provider("alpha").guarded
    allowed = assemble(base(allow_private=True), Rows(1, providers={"beta": provider()}))
    assert not allowed.whole.provider("beta").guarded


def test_a_stored_provider_that_cannot_be_read_takes_nothing_with_it():
    supply = assemble(base(), Rows(1, providers={"beta": provider(nonsense=1)}))
    assert supply.providers == ("alpha",)


@pytest.mark.parametrize(
    ("allowed", "serves"),
    [(None, True), ({"alpha/m"}, True), ({"m"}, True), ({"alpha/*"}, True), ({"x"}, False)],
)
def test_an_allow_list_names_deployments_models_families_or_a_provider(allowed, serves):
    rows = Rows(1, row("cred_1", allowed_models=allowed and sorted(allowed)))
    deployment = Deployment("alpha/m", "alpha", "m", "x", "http://x", frozenset({Kind.CHAT}), "f")
    assert assemble(base(), rows).ref("cred_1").serves(deployment) is serves


def test_what_a_process_has_assembled_at_its_start_is_not_assembled_again():
    first = assemble(base(), Rows())
    assert Live(replace(base(), first=first), None).current is first


async def test_a_change_reaches_every_process_without_a_poll(valkey):
    clients = [connect.commands(valkey.url), *(connect.pubsub(valkey.url) for _ in range(2))]
    tables = Tables(clients[0])
    lives = [Live(base(), tables, Tables(ears)) for ears in clients[1:]]
    heard = [asyncio.Event() for _ in lives]
    try:
        for live, event in zip(lives, heard, strict=True):
            live.start()
            live.on_change(lambda supply, e=event: "cred_1" in supply.rows.credentials and e.set())
        assert await tables.put("credentials", "cred_1", None, row("cred_1")["cred_1"]) == "done"
        async with asyncio.timeout(60):
            for event in heard:
                await event.wait()
        assert all(live.current.secret("cred_1") for live in lives)
    finally:
        for live in lives:
            await live.close()
        for client in clients:
            await client.aclose()


async def test_a_row_is_written_only_over_the_one_that_was_read(valkey):
    client = connect.commands(valkey.url)
    tables = Tables(client)
    first, second = {"name": "ä", "n": 1, "x": None}, {"name": "b", "list": [1.5, "y"]}
    assert await tables.put("apikeys", "k", None, first) == "done"
    assert await tables.put("apikeys", "k", None, second) == "changed"
    assert await tables.put("apikeys", "k", (await tables.rows()).apikeys["k"], second) == "done"
    assert await tables.put("apikeys", "k", first, None) == "changed"
    assert await tables.put("apikeys", "k", second, None) == "done"
    assert (await tables.rows()).apikeys == {}
    assert (await tables.rows()).version == 3
    await client.aclose()


async def test_a_replaced_key_is_told_from_one_that_stayed_and_from_a_new_one(valkey):
    client = connect.commands(valkey.url)
    tables = Tables(client)
    before = assemble(base({"ALPHA_KEY": "sk-e1,sk-e2"}), Rows()).prints()
    assert await tables.keys_since(before) == Keys()
    after = assemble(base({"ALPHA_KEY": "sk-e1,sk-new,sk-e3"}), Rows()).prints()
    assert await tables.keys_since(after) == Keys(replaced=("alpha-2",))
    assert await tables.keys_since(after) == Keys()
    fewer = assemble(base({"ALPHA_KEY": "sk-e1,sk-new"}), Rows()).prints()
    assert await tables.keys_since(fewer) == Keys(gone=("alpha-3",))
    assert await tables.keys_since(fewer) == Keys(gone=("alpha-3",)), "until it is put away"
    await tables.put_away("alpha-3", for_good=False)
    assert await tables.keys_since(fewer) == Keys()
    await client.aclose()


def test_a_key_that_is_sent_to_another_address_is_another_key():
    rows = Rows(1, row("cred_1", provider="beta"), {"beta": provider()})
    moved = replace(rows, providers={"beta": provider(base_url="http://192.0.2.2/v1")})
    before, after = (assemble(base(), each).prints() for each in (rows, moved))
    assert before["a1"] == after["a1"]
    assert before["cred_1"] != after["cred_1"]


async def test_nothing_is_kept_of_a_key_that_is_gone_for_good(valkey):
    client = connect.commands(valkey.url)
    tables = Tables(client)
    lanes = ("alpha/m@shared", "gone/m@shared")
    for name in ("cap", "admitted", "trail", "probes"):
        await client.hset(f"{{hr}}:{name}", mapping={f"{lane}|k1": "1" for lane in lanes})
        await client.hset(f"{{hr}}:{name}", "alpha/m@shared|xk1", "1")
    learned = [f"c|{lanes[0]}|k1", "w|k1|alpha/m|requests|60000", f"c|{lanes[0]}|xk1", "w|k11|a"]
    await client.hset("{hr}:learned", mapping=dict.fromkeys(learned, "1"))
    rests = ["c:k1", *(f"l:{lane}|k1" for lane in lanes), f"l:{lanes[0]}|xk1", "d:alpha/m"]
    await client.hset("{hr}:cool", mapping=dict.fromkeys(rests, "9000000000000000|x"))
    for name in ("checks", "probes", "plans", "organisations", "prints"):
        await client.hset(f"{{hr}}:{name}", mapping={"k1": "1", "xk1": "1"})
    await tables.put_away("k1", for_good=True)
    for name in ("cap", "admitted", "trail"):
        assert await client.hkeys(f"{{hr}}:{name}") == [b"alpha/m@shared|xk1"]
    assert sorted(await client.hkeys("{hr}:learned")) == [b"c|alpha/m@shared|xk1", b"w|k11|a"]
    assert sorted(await tables.rests()) == ["d:alpha/m", "l:alpha/m@shared|xk1"]
    for name in ("checks", "plans", "organisations", "prints"):
        assert await client.hkeys(f"{{hr}}:{name}") == [b"xk1"]
    assert sorted(await client.hkeys("{hr}:probes")) == [b"alpha/m@shared|xk1", b"xk1"]
    await client.aclose()


def keys_of(scope, organisations, *, stated=None):
    doc = {**CONFIG.providers["alpha"].model_dump(exclude_unset=True), "scope": scope}
    doc["credentials"] = [
        {"id": "a1", "key": "sk-a1-0123456789"},
        {"id": "a2", "key": "sk-a2-0123456789"} | ({"organisation": stated} if stated else {}),
        {"id": "a3", "key": "sk-a3-0123456789"},
    ]
    config = Config.model_validate({"providers": {"alpha": doc}})
    rows = Rows(1, organisations=organisations)
    return assemble(Base(config, {}, ours=Config(), vault=VAULT), rows)


def test_keys_that_were_told_the_same_organisation_share_windows_where_it_counts_so():
    told = {"a1": "header org_x", "a2": "429 org_x", "a3": "header org_y"}
    supply = keys_of("organisation", told)
    assert [ref.owner for ref in supply.credentials] == ["a1", "a1", "a3"]
    shown = [(held.organisation, held.organisation_source) for held in supply.held]
    assert shown == [("org_x", "header"), ("org_x", "429"), ("org_y", "header")]
    assert [ref.owner for ref in keys_of("key", told).credentials] == ["a1", "a2", "a3"]


def test_a_stated_organisation_stands_and_takes_in_who_was_told_the_same():
    supply = keys_of("organisation", {"a1": "header org_x", "a2": "header org_x"}, stated="acme")
    assert [ref.owner for ref in supply.credentials] == ["alpha:acme", "alpha:acme", "a3"]
    assert [held.organisation for held in supply.held] == ["org_x", "acme", None]
    assert supply.held[1].organisation_source == "declared"
