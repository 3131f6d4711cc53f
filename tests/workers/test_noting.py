"""What answers say of a key is noted once, and no text overrules what headers told."""

import asyncio

import structlog
from worker_claims import claim

from shared.catalog_schema import Config
from shared.core.outcome import Learned
from shared.errors import StoreError
from shared.queue.types import Report, Verdict
from shared.store.tables import Rows
from shared.supply import Base, assemble
from workers.noting import CHANGES_S, MOST_CHANGES, NOTED_S, Notes

CONFIG = Config.model_validate(
    {
        "providers": {
            "alpha": {
                "type": "openai-compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "default_plan": "paid",
                "credentials": [{"id": id_, "key": f"sk-{id_}-0123456789"} for id_ in ("a1", "a2")],
                "models": [{"id": "m1", "limits": {"free": {"rpm": 1}, "paid": {"rpm": 9}}}],
            }
        }
    }
)
FREE = (Learned("rpm", "requests", 60_000, 1, "header"),)


class Table:
    """Rows as the store keeps them; a write waits for `gate`, and fails while `broken`."""

    def __init__(self):
        self.rows = {}
        self.asked = []
        self.at_once = self.most_at_once = 0
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.broken = False

    async def put(self, credential, was, now):
        self.asked.append((credential, was, now))
        self.at_once += 1
        self.begun.set()
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if self.broken:
            raise StoreError("No connection available.")
        if self.rows.get(credential) != was:
            return "changed"
        self.rows[credential] = now
        return "done"

    put_plan = put_organisation = put


def supply(plans=None, organisations=None):
    rows = Rows(plans=plans or {}, organisations=organisations or {})
    return assemble(Base(CONFIG, {}, ours=Config()), rows)


def told(organisation=None, status=None, **more):
    attempt = {"status": status} if status else {}
    return Report(Verdict.COMPLETE, attempt=attempt, organisation=organisation, **more)


async def heeded(notes, where, *reports, credential="a1"):
    for report in reports:
        await notes.heed(where, claim(credential=credential), report)


async def test_a_burst_of_answers_notes_each_value_of_a_key_once():
    table, where = Table(), supply()
    notes = Notes(table)
    table.gate.clear()
    asking = [
        asyncio.create_task(notes.heed(where, claim(credential=id_), report))
        for report in [told("header org_x", learned=FREE)] * 250
        for id_ in ("a1", "a2")
    ]
    await table.begun.wait()
    table.gate.set()
    await asyncio.gather(*asking)
    changes = [(id_, None, now) for id_ in ("a1", "a2") for now in ("free", "header org_x")]
    assert sorted(table.asked) == sorted(changes)
    assert table.most_at_once == 1


async def test_what_could_not_be_written_is_written_by_the_next_answer():
    table, where = Table(), supply()
    notes = Notes(table)
    table.broken = True
    await heeded(notes, where, *[told("header org_x")] * (MOST_CHANGES + 2))
    table.broken = False
    await heeded(notes, where, told("header org_x"), told("header org_x"))
    assert len(table.asked) == MOST_CHANGES + 3
    assert table.rows == {"a1": "header org_x"}


async def test_what_was_noted_counts_until_a_supply_tells_of_it_or_it_is_old():
    now = [0.0]
    table, before = Table(), supply()
    notes = Notes(table, lambda: now[0])
    await heeded(notes, before, told("header org_x"), told("header org_x"))
    assert len(table.asked) == 1
    gone = supply(organisations={"a1": "header org_y"})
    await heeded(notes, gone, *[told("header org_x")] * 3)
    assert table.asked[1:] == [("a1", "header org_y", "header org_x")]
    await heeded(notes, gone, *[told("header org_x")] * 3)
    assert len(table.asked) == 2
    now[0] += NOTED_S + 1
    await heeded(notes, gone, *[told("header org_x")] * 3)
    assert len(table.asked) == 3


async def test_an_organisation_that_flaps_is_bounded_and_may_change_again_later():
    now = [0.0]
    table = Table()
    notes = Notes(table, lambda: now[0])
    for turn in range(60):
        where = supply(organisations=dict(table.rows))
        await heeded(notes, where, *[told(f"header org_{turn % 2}")] * 4)
    assert len(table.asked) == MOST_CHANGES
    now[0] += CHANGES_S + 1
    await heeded(notes, supply(organisations=dict(table.rows)), *[told("header org_9")] * 4)
    assert table.rows == {"a1": "header org_9"}


async def test_only_what_was_written_is_told_as_learned():
    table, where = Table(), supply()
    table.rows["a1"] = "header org_of_another_process"
    with structlog.testing.capture_logs() as logs:
        await heeded(Notes(table), where, told("header org_x"))
        assert logs == []
        await heeded(Notes(table), where, told("header org_x"), credential="a2")
    assert [each["event"] for each in logs] == ["organisation_learned"]


async def test_an_organisation_in_a_text_is_believed_when_it_is_told_again():
    table, where = Table(), supply()
    notes = Notes(table)
    await heeded(notes, where, told("429 org_x"), told("429 org_y"), told("429 org_x"))
    assert table.asked == []
    await heeded(notes, where, told("429 org_x"))
    assert table.rows == {"a1": "429 org_x"}


async def test_no_text_moves_a_key_whose_plan_was_found():
    table, where = Table(), supply(plans={"a1": "paid"})
    text = "Input was flagged by moderation: how does billing work on the free_tier"
    for status in (400, 402, 403, 429):
        report = told(status=status, said=text, marks=("payment_required",))
        await heeded(Notes(table), where, report, report)
    upgrade = told(status=429, said="Quota exceeded: generate_paid_tier_requests")
    await heeded(Notes(table), supply(plans={"a1": "free"}), upgrade)
    assert table.asked == []
    await heeded(Notes(table), where, told(learned=FREE))
    assert table.asked == [("a1", "paid", "free")]
