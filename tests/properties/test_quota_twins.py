"""The ledgers in Lua and in Python give the same answers to the same random lives."""

import itertools
from pathlib import Path
from random import Random
from typing import Any

import fakeredis
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from shared.core import quota
from shared.core.model import Audio, Dimension, Need, Price, TokenCount, Window, WindowKind

START = 1_790_000_000_123
LUA = Path(__file__).parents[2] / "shared/queue/lua"
DRIVER = """
local out = {}
for i, op in ipairs(A.ops) do
  NOW, A.w.l = op.now, op.l
  if op.f ~= 'look' then Q[op.f](A.w, unpack(op.a)) end
  local e = Q.earliest(A.w, op.need, op.keep)
  local used, free, reset = Q.view(A.w)
  local row = { e, Q.free(A.w), used, free, reset, Q.slack(A.w, op.at, op.need, op.keep) }
  for j, x in ipairs(row) do row[j] = string.format('%.0f', x) end
  out[i] = row
end
return cjson.encode(out)
"""
NAMES = itertools.count()
KINDS = [
    (WindowKind.SLIDING, "epoch"),
    (WindowKind.FIXED, "epoch"),
    (WindowKind.FIXED, "first_use"),
    (WindowKind.FIXED, "Europe/Berlin"),
    (WindowKind.BUCKET, "epoch"),
]
SPANS = [40, 999, 1000, 6000, 60_000, 86_400_000, 2_592_000_000]


def script(driver: str = DRIVER) -> str:
    texts = [(LUA / f"{name}.lua").read_text() for name in ("prelude", "quota")]
    return "\n".join([*texts, "begin(KEYS, ARGV)", driver])


@st.composite
def lives(draw: st.DrawFn) -> tuple[Window, list[dict[str, Any]]]:
    kind, anchor = draw(st.sampled_from(KINDS))
    span = draw(st.sampled_from(SPANS))
    limit = draw(st.sampled_from([1, 3, 60, 10_000, 1_000_000_000]))
    window = Window("w", Dimension.REQUESTS, limit, span, kind, anchor)
    now, ops, taken = START, [], []
    amounts = st.integers(1, max(1, limit // draw(st.sampled_from([1, 2, 10]))))
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.integers(0, draw(st.sampled_from([0, 0, 30, span // 8, span, 3 * span]))))
        name = draw(st.sampled_from(["take", "take", "settle", "restamp", "observe", "look"]))
        arguments: list[int] = []
        if name == "take":
            arguments = [draw(amounts)]
            taken.append((now, arguments[0]))
        elif name == "observe":
            arguments = [draw(amounts)]
        elif taken and name in ("settle", "restamp"):
            i = draw(st.integers(0, len(taken) - 1))
            at, amount = taken[i]
            if name == "settle":
                taken.pop(i)
                arguments = [at, amount, draw(st.integers(0, amount + 3))]
            else:
                sent = draw(st.integers(at, now))
                taken[i] = (sent, amount)
                arguments = [at, sent, amount]
        else:
            name = "look"
        if draw(st.integers(0, 9)) == 0:
            limit = draw(st.sampled_from([limit, max(1, limit // 2), limit * 2]))
        at = now + draw(st.integers(0, 2 * span))
        need, keep = draw(amounts), draw(st.integers(0, 2 * limit))
        ops.append(
            {"f": name, "a": arguments, "now": now, "l": limit, "need": need, "keep": keep}
            | {"at": at}
        )
    return window, ops


def in_python(window: Window, ops: list[dict[str, Any]]) -> list[list[int]]:
    ledger: Any = None
    rows = []
    for op in ops:
        window = Window(
            window.name, window.dimension, op["l"], window.span_ms, window.kind, window.anchor
        )
        rule, now = quota.window_rule(window, START), op["now"]
        ledger = quota.fresh(rule) if ledger is None else ledger
        if op["f"] != "look":
            ledger = getattr(quota, op["f"])(rule, ledger, now, *op["a"])
        rows.append(
            [
                quota.earliest(rule, ledger, now, op["need"], op["keep"]),
                quota.free(rule, ledger, now),
                *quota.view(rule, ledger, now),
                quota.slack(rule, ledger, now, op["at"], op["need"], op["keep"]),
            ]
        )
    return rows


def in_lua(client: "Redis", window: Window, ops: list[dict[str, Any]], batch: int) -> list[Any]:
    """The same life in scripts of `batch` steps: what one script remembers must stay true."""
    spec = quota.window_spec(window, str(next(NAMES)), None, START, TokenCount.INPUT, 1.0)
    rows: list[Any] = []
    for i in range(0, len(ops), batch):
        header = orjson.dumps({"w": spec, "ops": ops[i : i + batch]})
        answer = orjson.loads(client.eval(script(), 1, "{hr}:", header))
        rows += [[int(x) for x in row] for row in answer]
    return rows


def step(name: str, at: int, *arguments: int, need: int = 1, limit: int = 10) -> dict[str, Any]:
    now = START + at
    return {"f": name, "a": list(arguments), "now": now, "l": limit, "need": need, "keep": 0} | {
        "at": now + 3000
    }


STORIES = {
    "what is given back would have run over": [
        step("take", 0, 5),
        step("take", 6000, 9),
        step("settle", 6000, START, 5, 0),
    ],
    "what is given back would not have run over": [
        step("take", 0, 10),
        step("take", 4000, 3),
        step("settle", 4500, START, 10, 4),
        step("settle", 4600, START + 4000, 3, 0),
    ],
    "a call sent late": [step("take", 0, 10), step("restamp", 9000, START, START + 8990, 10)],
    "calls sent more than a span late": [
        step("take", 0, 8),
        step("take", 3000, 2),
        step("take", 6000, 2),
        step("restamp", 17_000, START, START + 6500, 8),
        step("look", 17_000, need=9),
        step("restamp", 17_000, START + 3000, START + 16_900, 2, need=9),
        step("take", 17_000, 1, need=9),
        step("restamp", 17_100, START + 6000, START + 17_000, 2, need=9),
        step("take", 17_100, 7, need=9),
    ],
    "one look after another at the same moment": [
        step("take", 0, 4),
        step("take", 100, 4),
        step("look", 200, need=9),
        step("settle", 200, START, 4, 1),
        step("look", 200, need=9),
        step("take", 200, 3, need=10),
        step("restamp", 200, START + 100, START + 150, 4, need=10),
    ],
    "a limit that is raised after the first look": [
        step("look", 0),
        step("take", 0, 20, need=20, limit=20),
        step("look", 100, limit=20),
    ],
    "a window from first use whose first call was given back": [
        step("take", 0, 1),
        step("take", 3000, 2),
        step("settle", 3100, START, 1, 0),
        step("look", 9980),
        step("look", 10_000),
        step("take", 10_040, 1),
    ],
}


@pytest.mark.parametrize("story", list(STORIES))
@pytest.mark.parametrize("kind", KINDS)
def test_the_twins_agree_on_stories(valkey, kind, story) -> None:
    client = Redis.from_url(valkey.url)
    agree(client, (Window("w", Dimension.REQUESTS, 10, 10_000, *kind), STORIES[story]))
    client.close()


def agree(client: "Redis", life: tuple[Window, list[dict[str, Any]]]) -> None:
    window, ops = life
    expected = in_python(window, ops)
    assert in_lua(client, window, ops, batch=len(ops)) == expected
    assert in_lua(client, window, ops, batch=1) == expected


def test_the_twins_agree_on_the_embedded_valkey(valkey) -> None:
    client = Redis.from_url(valkey.url)

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(life=lives())
    def check(life: tuple[Window, list[dict[str, Any]]]) -> None:
        agree(client, life)

    check()
    client.close()


def test_the_twins_agree_on_redis_7(redis7) -> None:
    client = Redis.from_url(redis7)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(life=lives())
    def check(life: tuple[Window, list[dict[str, Any]]]) -> None:
        agree(client, life)

    check()
    client.close()


@settings(max_examples=20, deadline=None)
@given(life=lives())
def test_the_twins_agree_on_fakeredis(life: tuple[Window, list[dict[str, Any]]]) -> None:
    agree(fakeredis.FakeRedis(), life)


@settings(max_examples=200, deadline=None)
@given(
    need=st.builds(Need, *(st.integers(0, 10**6) for _ in range(4)), st.integers(1, 100)),
    dimension=st.sampled_from(Dimension),
    count=st.sampled_from(TokenCount),
    factor=st.sampled_from([1.0, 1.1, 1.25, 1.4, 0.97]),
    price=st.builds(Price, *(st.none() | st.integers(0, 10**8) for _ in range(4))),
    audio=st.builds(
        Audio,
        least_seconds=st.sampled_from([0, 1, 10, 600]),
        tokens_per_s=st.sampled_from([0.0, 10.0, 32.0, 12.5]),
    ),
    each=st.booleans(),
)
def test_the_twins_take_the_same_amount(need, dimension, count, factor, price, audio, each) -> None:
    window = Window("w", dimension, 10, 1000)
    spec = quota.window_spec(window, "c", "d", START, count, factor)
    if dimension is Dimension.MICROUSD:
        spec = quota.priced(spec, price, factor)
    spec = quota.heard(spec, audio)
    spec = quota.of_inputs(spec) if each else spec
    asked = {
        "i": need.input_tokens,
        "o": need.output_tokens,
        "m": need.max_output_tokens,
        "a": need.audio_seconds,
        "n": need.inputs,
    }
    text = script("return string.format('%.0f', Q.amount(A.w, A.n))")
    answer = AMOUNTS.eval(text, 1, "{hr}:", orjson.dumps({"w": spec, "n": asked}))
    expected = quota.amount(need, dimension, count, factor, price, audio, each_input=each)
    assert int(answer) == expected


AMOUNTS = fakeredis.FakeRedis()


def test_nothing_of_an_idle_ledger_stays_for_ever(valkey) -> None:
    client = Redis.from_url(valkey.url)
    for kind, anchor in KINDS:
        window = Window("w", Dimension.REQUESTS, 5, 60_000, kind, anchor)
        op = {"f": "take", "a": [1], "now": START, "l": 5, "need": 1, "keep": 0, "at": START}
        in_lua(client, window, [op], batch=1)
    keys = list(client.scan_iter())
    assert len(keys) == len(KINDS) + 1
    assert all(120_000 < int(client.pttl(key)) <= 180_000 for key in keys)
    client.close()


def late_life(limit: int, span: int, seed: int) -> tuple[Window, list[dict[str, Any]]]:
    """Bursts whose calls leave late, are told of out of order and use less than they reserved."""
    chance, now, ops, taken = Random(seed), START, [], []
    for _ in range(400):
        now += chance.choice([0, 0, 1, 3, span // (4 * limit), span // 9])
        what, arguments = chance.choice(["take", "restamp", "restamp", "settle"]), []
        if what == "take" or not taken:
            what, arguments = "take", [2]
            taken.append(now)
        else:
            at = taken.pop(chance.randrange(len(taken)))
            arguments = [at, 2, chance.randint(0, 3)]
            if what == "restamp":
                sent = chance.randint(at, now)
                arguments = [at, sent, 2]
                if chance.random() < 0.5:  # and is settled later
                    taken.append(sent)
        ops.append(
            {"f": what, "a": arguments, "now": now, "l": limit, "need": 1, "keep": 0, "at": now}
        )
    return Window("w", Dimension.REQUESTS, limit, span, WindowKind.BUCKET), ops


@pytest.mark.parametrize(("limit", "span"), [(60, 9_000), (60, 600), (1_000, 60_000)])
def test_the_twins_agree_on_more_late_calls_than_a_bucket_remembers(valkey, limit, span) -> None:
    client = Redis.from_url(valkey.url)
    for seed in range(3):
        window, ops = late_life(limit, span, seed)
        expected = in_python(window, ops)
        assert in_lua(client, window, ops, batch=len(ops)) == expected
        assert in_lua(client, window, ops, batch=3) == expected
    client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_busy_life_keeps_the_store_small(valkey, kind) -> None:
    client = Redis.from_url(valkey.url)
    window = Window("w", Dimension.REQUESTS, 10**6, 60_000, *kind)
    ops = [
        {"f": "take", "a": [1], "now": START + 97 * i, "l": 10**6, "need": 1, "keep": 0}
        | {"at": START + 97 * i}
        for i in range(5000)
    ]
    assert in_lua(client, window, ops, batch=500) == in_python(window, ops)
    for key in client.scan_iter():
        size = client.llen(key) if b"quotalog" in key else client.hlen(key)
        assert size <= (1010 if kind[0] is WindowKind.SLIDING else 5)
    client.close()


ABSURD = [10**18, 2**53, 10**15, 10**12]


def settled(figure: int) -> list[dict[str, Any]]:
    return [
        step("take", 0, 5),
        step("settle", 10, START, 5, figure),
        step("look", 20),
        step("observe", 30, figure),
        step("restamp", 40, START, START + 35, figure),
        step("look", 200_000),
        step("take", 200_010, 1),
    ]


@pytest.mark.parametrize("figure", ABSURD)
@pytest.mark.parametrize("kind", KINDS)
def test_no_figure_shuts_a_window_for_longer_than_ten_spans(valkey, kind, figure) -> None:
    client = Redis.from_url(valkey.url, socket_timeout=30)
    window, ops = Window("w", Dimension.REQUESTS, 10, 10_000, *kind), settled(figure)
    agree(client, (window, ops))
    last = in_python(window, ops)[-1]
    assert last[0] - ops[-1]["now"] <= 2 * window.span_ms
    client.close()


POISON = {
    WindowKind.BUCKET: {"v": str(-(10**24)), "u": str(START)},
    WindowKind.SLIDING: {"t": str(10**18), str(START // 10): str(10**18)},
    WindowKind.FIXED: {"n": str(10**18), "s": str(START), "h": str(START), "z": str(START)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_ledger_heals_when_it_is_read(valkey, kind) -> None:
    client = Redis.from_url(valkey.url, socket_timeout=30)
    window = Window("w", Dimension.REQUESTS, 10, 10_000, *kind)
    spec = quota.window_spec(window, str(next(NAMES)), None, START, TokenCount.INPUT, 1.0)
    fields = dict(POISON[window.kind])
    if window.kind is WindowKind.FIXED and window.anchor != "first_use":
        fields = {str(quota.window_rule(window, START).bounds(START)[0]): str(10**18)}
    client.hset("{hr}:quota:" + spec["k"], mapping=fields)
    if window.kind is WindowKind.SLIDING:
        client.rpush("{hr}:quotalog:" + spec["k"], START // 10)
    ops = [step("look", 10), step("take", 20, 1), step("look", 30)]
    answer = client.eval(script(), 1, "{hr}:", orjson.dumps({"w": spec, "ops": ops}))
    first, *_, last = ([int(x) for x in row] for row in orjson.loads(answer))
    assert first[0] <= START + 11 * window.span_ms
    assert last[2] <= 11 * 10  # what is said to be used
    client.close()
