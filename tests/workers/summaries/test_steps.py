"""Summaries on a real store: nothing is lost or done twice, and no document harms another."""

import made_documents as made
import orjson
import pytest
from summary_world import SummaryWorld, asked, briefly, refuses, says, summary_world

from shared import tokens
from shared.core.model import Priority, Status
from shared.core.sharing import ShareMode, Wish
from shared.core.summary_work import of_json
from shared.errors import Refused
from shared.queue.types import Verdict
from shared.store.files import object_name
from shared.summaries import entries
from workers.hedger import wish_of

STORY = "The miller opens the race at dawn. Seven wheels begin to turn, one after another."
SCHEMA = {
    "type": "object",
    "properties": {"gist": {"type": "string"}},
    "required": ["gist"],
    "additionalProperties": False,
}


@pytest.fixture
async def world(valkey):
    async with summary_world(valkey.url) as made_world:
        yield made_world


@pytest.fixture
async def small(valkey):
    """Its model takes little in one call."""
    async with summary_world(valkey.url, context_window=2_000) as made_world:
        yield made_world


def long_text(paragraphs, words=40):
    return "\n\n".join(
        f"# Chapter {n}\n\n" + " ".join(f"w{n}x{k}" for k in range(words))
        for n in range(paragraphs)
    )


async def test_a_short_document_is_read_in_one_call(world: SummaryWorld):
    await world.accept(
        input=STORY, title="The Mill", style="bullets", length=50, language="German",
        focus="the wheels", instructions="Be kind.", temperature=0.5,
    )  # fmt: skip
    result = await world.result()
    (call,) = world.calls
    assert (call.tenant, call.priority) == ("t1", Priority.BULK)
    chat = asked(call)
    assert chat["text"] == STORY
    assert chat["temperature"] == 0.5
    assert chat["model"] == "sim"
    for wish in ("'- '", "about 50 words", "German", "the wheels", "Be kind."):
        assert wish in chat["system"]
    assert "'The Mill'" in chat["user"]
    assert result == {
        "object": "summary",
        "model": "sim",
        "models": ["alpha/sim"],
        "documents": [
            {
                "index": 0,
                "title": "The Mill",
                "source": {"text": True},
                "type": "text",
                "warnings": [],
                "status": "completed",
                "tokens": tokens.count(STORY),
                "chunks": 1,
                "levels": 0,
                "summary": " ".join(STORY.split()[:12]),
                "json": None,
                "error": None,
            }
        ],
        "combined": None,
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    }


async def test_children_have_what_their_parent_has(world: SummaryWorld):
    await world.accept(input=STORY)
    await world.take_step()
    (call,) = await world.world.claim(providers=("alpha",))
    record = await world.world.jobs.get(call.job_id, "t1")
    parent = await world.get()
    assert record.parent == "job_sum"
    assert call.job_id == "job_sum-0"
    assert abs(record.deadline_ms - parent.deadline_ms) < 5_000
    assert record.doc["policy"] == {"max_attempts": 2, "hedge": "never"}
    assert wish_of(call.doc) == "never"  # as a worker reads it
    assert record.doc["type"] == "summarization"
    assert record.doc["paid"] == parent.doc["paid"]


async def test_a_long_document_is_read_level_by_level(small: SummaryWorld):
    text = long_text(120)
    await small.accept(input=text, length="short")
    record = await small.run(how=lambda claim: says(" ".join(asked(claim)["text"].split()[:150])))
    (entry,) = orjson.loads(record.result)["documents"]
    assert entry["levels"] >= 2
    assert entry["chunks"] >= 4
    calls = [asked(call) for call in small.calls]
    parts = entry["chunks"]
    first = {
        call["user"].partition(".")[0]: call["text"]
        for call in calls
        if call["user"].startswith("Part ") and f" of {parts}." in call["user"]
    }
    read = "".join(first[f"Part {n} of {parts}"] for n in range(1, parts + 1))
    assert read.split() == text.split()
    last = calls[-1]
    assert "from notes of its parts" in last["system"]
    assert record.usage.input_tokens == 10 * len(calls)
    assert record.progress.step["documents"] == {"total": 1, "completed": 0, "failed": 0}


async def test_no_call_is_larger_than_the_model_takes(small: SummaryWorld):
    await small.accept(input=long_text(200), length="long")
    await small.run()
    for call in small.calls:
        most = asked(call)["max_completion_tokens"]
        assert call.need.input_tokens * 1.2 + most <= 2_000


@pytest.mark.parametrize(("share", "calls"), [(None, 1), (ShareMode.NEVER, 2)])
async def test_equal_pieces_of_two_summaries_are_read_once(world: SummaryWorld, share, calls):
    for job_id in ("job_a", "job_b"):
        await world.accept(job_id, Wish(share), input=STORY)
        await world.take_step()
    assert await world.answer() == calls
    first, second = [await world.result(job_id=job_id) for job_id in ("job_a", "job_b")]
    assert len(world.calls) == calls
    assert first["documents"] == second["documents"]


async def test_a_piece_that_was_read_is_remembered_where_that_is_asked(world: SummaryWorld):
    for job_id in ("job_a", "job_b"):
        await world.accept(job_id, Wish(cache_s=3_600), input=STORY)
        assert (await world.result(job_id=job_id))["documents"][0]["status"] == "completed"
    assert len(world.calls) == 1


async def test_a_call_that_is_made_again_is_given_no_answer_that_is_kept(world: SummaryWorld):
    await world.accept(wish=Wish(cache_s=3_600), input=STORY)
    await world.take_step()
    assert await world.answer(lambda _: says("")) == 1
    await world.take_step()
    assert await world.answer() == 1  # by a provider, not from what is kept
    assert (await world.result())["documents"][0]["status"] == "completed"


async def test_a_document_that_fails_does_not_fail_the_others(world: SummaryWorld):
    good = await world.upload(b"# Good\n\nAll is well.", "good.md")
    bad = await world.upload(made.pdf(["", ""]), "scan.pdf")
    bomb = await world.upload(made.docx_bomb(), "bomb.docx")
    await world.accept(
        documents=[
            {"file_id": good},
            {"file_id": bad, "title": "The Scan"},
            {"file_id": bomb},
            {"url": "http://169.254.169.254/latest/meta-data"},
            {"file_id": "file-not-mine"},
            {"text": STORY},
        ]
    )
    result = await world.result()
    entries = result["documents"]
    assert [entry["index"] for entry in entries] == list(range(6))
    assert [entry["status"] for entry in entries] == [
        "completed", "failed", "failed", "failed", "failed", "completed",
    ]  # fmt: skip
    assert [entry["error"] and entry["error"]["code"] for entry in entries] == [
        None, "no_text", "too_large", "private_address", "no_file", None,
    ]  # fmt: skip
    assert [entry["title"] for entry in entries] == [
        "good.md", "The Scan", "bomb.docx", "http://169.254.169.254/latest/meta-data",
        "file-not-mine", None,
    ]  # fmt: skip
    assert entries[0]["type"] == "markdown"
    assert entries[1]["error"]["param"] == "documents[1]"
    assert entries[1]["summary"] is None


async def test_a_text_of_which_nothing_can_be_seen_asks_no_model(world: SummaryWorld):
    await world.accept(documents=[{"text": " \n\t\u00a0"}, {"text": "\0\ufeff"}, {"text": STORY}])
    result = await world.result()
    codes = [entry["error"] and entry["error"]["code"] for entry in result["documents"]]
    assert codes == ["no_text", "no_text", None]
    assert [asked(call)["text"] for call in world.calls] == [STORY]


async def test_another_tenants_file_is_no_document(world: SummaryWorld):
    await world.upload(b"secret words", "secret.txt", tenant="t2")
    await world.accept(documents=[{"file_id": "file-secret-txt"}, {"text": STORY}])
    result = await world.result()
    assert result["documents"][0]["error"]["code"] == "no_file"
    assert not any("secret words" in asked(call)["text"] for call in world.calls)


async def test_where_all_documents_fail_the_job_fails_and_names_each(world: SummaryWorld):
    await world.upload(made.encrypted_pdf(), "locked.pdf")
    await world.accept(documents=[{"file_id": "file-locked-pdf"}, {"text": "x", "title": "An X"}])
    record = await world.run(how=lambda _claim: refuses("content_filter"))
    assert record.status is Status.FAILED
    assert record.error["code"] == "no_document"
    assert "locked.pdf: the PDF is encrypted" in record.error["message"]
    assert "An X: no: content_filter" in record.error["message"]


async def test_a_failed_summary_that_is_replayed_tries_again(world: SummaryWorld):
    await world.accept(input=STORY)
    record = await world.run(how=lambda _claim: refuses())
    assert record.status is Status.FAILED
    await world.world.jobs.replay("job_sum", "t1", 60_000)
    result = await world.result()
    assert result["documents"][0]["status"] == "completed"


async def test_one_summary_over_all_is_made_from_the_summaries(world: SummaryWorld):
    await world.accept(
        documents=[
            {"text": STORY, "title": "One"},
            {"text": "Two tells of water."},
            {"url": "http://[::1]/"},
        ],
        combined=True,
    )
    result = await world.result()
    assert [entry["status"] for entry in result["documents"]] == [
        "completed",
        "completed",
        "failed",
    ]
    last = asked(world.calls[-1])
    assert "over several documents" in last["system"]
    assert (
        last["text"]
        == f"# One\n\n{' '.join(STORY.split()[:12])}\n\n# Document 2\n\nTwo tells of water."
    )
    combined = result["combined"]
    assert combined["summary"] == " ".join(last["text"].split()[:12])
    assert (combined["status"], combined["chunks"], combined["error"]) == ("completed", 1, None)
    assert "index" not in combined


async def test_a_summary_over_all_that_fails_leaves_the_documents(world: SummaryWorld):
    await world.accept(documents=[{"text": STORY}, {"text": STORY}], combined=True)
    result = await world.result(
        how=lambda claim: (
            refuses() if "several documents" in asked(claim)["system"] else briefly(claim)
        )
    )
    assert [entry["status"] for entry in result["documents"]] == ["completed", "completed"]
    assert result["combined"]["status"] == "failed"
    assert result["combined"]["error"]["code"] == "bad"
    assert result["combined"]["error"]["param"] is None


async def test_json_is_checked_and_repaired_once(world: SummaryWorld):
    await world.accept(input=STORY, json_schema=SCHEMA)
    said = iter(['```json\n{"gist": 3}\n```', '{"gist": "water"}'])
    result = await world.result(how=lambda _claim: says(next(said)))
    (entry,) = result["documents"]
    assert (entry["json"], entry["summary"]) == ({"gist": "water"}, None)
    first, second = (asked(call) for call in world.calls)
    assert first["response_format"]["json_schema"]["schema"] == SCHEMA
    assert "gist should be of type string" in second["user"]
    assert second["text"] == '```json\n{"gist": 3}\n```'


async def test_json_that_stays_wrong_fails_its_document(world: SummaryWorld):
    await world.accept(documents=[{"text": "bad"}, {"text": "good"}], json_schema=SCHEMA)
    result = await world.result(
        how=lambda claim: says('{"gist": "g"}' if asked(claim)["text"] == "good" else "never")
    )
    bad, good = result["documents"]
    assert good["json"] == {"gist": "g"}
    assert bad["error"]["code"] == "invalid_json"
    assert "not JSON" in bad["error"]["message"]


async def test_a_schema_is_told_in_words_where_nobody_takes_it_as_a_parameter(valkey):
    async with summary_world(valkey.url, capabilities=["chat"]) as world:
        await world.accept(input=STORY, json_schema=SCHEMA)
        result = await world.result(how=lambda _claim: says('{"gist": "g"}'))
        assert result["documents"][0]["json"] == {"gist": "g"}
        (call,) = world.calls
        assert "response_format" not in asked(call)
        assert '"gist"' in asked(call)["system"]


async def test_what_was_too_long_after_all_is_cut_smaller(world: SummaryWorld):
    await world.accept(input=long_text(20))

    def picky(claim):
        too_long = len(asked(claim)["text"].split()) > 300
        return refuses("context_length_exceeded") if too_long else briefly(claim)

    result = await world.result(how=picky)
    (entry,) = result["documents"]
    assert (entry["status"], entry["levels"]) == ("completed", 1)
    assert entry["chunks"] > 1


async def test_what_is_too_long_however_it_is_cut_fails(world: SummaryWorld):
    await world.accept(documents=[{"text": long_text(20)}, {"text": "short"}])
    result = await world.result(
        how=lambda claim: briefly(claim) if asked(claim)["text"] == "short" else refuses("too_long")
    )
    assert result["documents"][0]["error"]["code"] == "too_long"
    assert result["documents"][1]["status"] == "completed"


async def test_a_model_that_thought_all_its_tokens_away_may_have_more(world: SummaryWorld):
    await world.accept(input=STORY)
    said = iter([says("<think>hm</think>", "length"), says("<think>so</think>Water.")])
    result = await world.result(how=lambda _claim: next(said))
    assert result["documents"][0]["summary"] == "Water."
    first, second = (asked(call) for call in world.calls)
    assert "max_completion_tokens" in first
    assert "max_completion_tokens" not in second


async def test_a_model_that_never_writes_fails_its_document(world: SummaryWorld):
    await world.accept(input=STORY)
    record = await world.run(how=lambda _claim: says(" "))
    assert record.status is Status.FAILED
    assert record.error["code"] == "no_answer"
    assert len(world.calls) == 5


async def test_a_piece_that_is_lost_fails_its_document_and_spares_the_rest(small: SummaryWorld):
    await small.accept(documents=[{"text": long_text(60)}, {"text": STORY}])
    await small.take_step()
    claims = await small.world.claim(want=100, providers=("alpha",))
    second = next(c for c in claims if asked(c)["user"].startswith("Part 2 of"))
    await small.world.finish(second, refuses("content_filter"))
    await small.take_step()
    statuses = {c.job_id: (await small.world.jobs.get(c.job_id, "t1")).status for c in claims}
    of_first = [
        s for c in claims if asked(c)["user"].startswith("Part ") for s in [statuses[c.job_id]]
    ]
    assert Status.CANCELLED in of_first
    assert Status.IN_PROGRESS not in of_first
    for claim in claims:
        if statuses[claim.job_id] is Status.IN_PROGRESS:
            await small.world.finish(claim, briefly(claim))
    result = await small.result()
    assert result["documents"][0]["error"]["code"] == "content_filter"
    assert result["documents"][0]["error"]["message"].startswith("part 2 of ")
    assert result["documents"][1]["status"] == "completed"


async def test_a_worker_that_dies_before_its_report_leaves_nothing_half_done(small: SummaryWorld):
    await small.accept(documents=[{"text": long_text(80)}, {"text": STORY}], combined=True)
    ends = 0
    for turn in range(200):
        record = await small.get()
        if record.status.final:
            break
        took = await small.take_step(finish=turn % 2 == 1)
        if took and turn % 2 == 0:
            await small.world.lose_worker("w1")
            ends += 1
            continue
        await small.answer()
    result = orjson.loads((await small.get()).result)
    assert ends >= 3
    assert [entry["status"] for entry in result["documents"]] == ["completed", "completed"]
    read = [asked(call)["text"] for call in small.calls if call.job_id]
    assert len(read) == len({call.job_id for call in small.calls})
    first = [asked(c)["text"] for c in small.calls if asked(c)["user"].startswith("Part ")]
    assert len(first) == len(set(first)), "a piece was read twice"


async def test_a_cancelled_summary_takes_its_calls_with_it(small: SummaryWorld):
    await small.accept(input=long_text(80))
    await small.take_step()
    running, *_ = await small.world.claim(want=2, providers=("alpha",))
    await small.world.jobs.cancel("job_sum", "t1")
    assert (await small.get()).status is Status.CANCELLED
    assert not await small.world.finish(running, briefly(running))
    assert await small.take_step() is None
    assert await small.answer() == 0


async def test_a_cancelled_summary_that_is_replayed_goes_on(small: SummaryWorld):
    await small.accept(input=long_text(80))
    await small.take_step()
    claims = await small.world.claim(want=2, providers=("alpha",))
    for claim in claims:
        await small.world.finish(claim, briefly(claim))
    await small.take_step()
    await small.world.jobs.cancel("job_sum", "t1")
    await small.world.jobs.replay("job_sum", "t1", 60_000)
    result = await small.result()
    assert result["documents"][0]["status"] == "completed"
    read = {asked(claim)["text"] for claim in claims}
    assert not read & {asked(call)["text"] for call in small.calls}


async def test_many_documents_are_read_a_few_at_a_time(small: SummaryWorld):
    await small.accept(documents=[{"text": f"{STORY} {n}"} for n in range(100)])
    _, report = await small.take_step()
    assert len(report.outbox) == 4
    assert report.progress["phase"] == "reading"
    result = await small.result()
    assert [entry["status"] for entry in result["documents"]] == ["completed"] * 100


async def test_so_many_calls_are_out_at_once_and_one_that_is_made_again_takes_no_others_place(
    world: SummaryWorld,
):
    text = long_text(150)
    await world.accept(input=text, chunk_tokens=256)
    blanks, most = [], 0

    def blank_once(claim):
        if not blanks and asked(claim)["user"].startswith("Part 3 of"):
            blanks.append(claim)
            return says(" ")
        return briefly(claim)

    while await world.take_step() is not None:
        if (state := (await world.world.jobs.family("job_sum")).state) is not None:
            most = max(most, len(of_json(state).calls))
        await world.answer(blank_once, most=40)
    assert most == 64
    result = orjson.loads((await world.get()).result)
    parts = result["documents"][0]["chunks"]
    assert parts > 64
    assert len(blanks) == 1
    first = {
        asked(call)["user"].partition(".")[0]: asked(call)["text"]
        for call in world.calls
        if f" of {parts}." in asked(call)["user"]
    }
    assert (
        "".join(first[f"Part {n} of {parts}"] for n in range(1, parts + 1)).split() == text.split()
    )


async def test_what_was_noted_of_pieces_that_are_cut_anew_is_dropped(small: SummaryWorld):
    await small.accept(input=long_text(30))
    await small.take_step()
    claims = {
        asked(claim)["user"].split()[1]: claim
        for claim in await small.world.claim(want=100, providers=("alpha",))
    }
    await small.world.finish(claims["1"], briefly(claims["1"]))
    await small.world.finish(claims["2"], refuses("context_length_exceeded"))
    result = await small.result()
    (entry,) = result["documents"]
    assert entry["status"] == "completed"
    assert entry["chunks"] > len(claims)


async def test_a_model_that_never_stops_does_not_keep_a_summary_from_ending(small: SummaryWorld):
    await small.accept(input=long_text(40))
    result = await small.result(how=lambda claim: says(asked(claim)["text"] * 2))
    assert result["documents"][0]["status"] == "completed"
    assert result["documents"][0]["levels"] <= 6


async def test_where_no_provider_can_be_asked_it_rests_and_goes_on(
    world: SummaryWorld, monkeypatch
):
    away = Refused("no deployment can serve it now", status=503, code="no_capacity")
    route = world.router.route

    def none(*_args):
        raise away

    await world.accept(input=STORY)
    monkeypatch.setattr(world.router, "route", none)
    _, first = await world.take_step()
    assert first.verdict is Verdict.WAIT
    _, second = await world.take_step()
    assert (second.verdict, second.reason, second.delay_ms) == (
        Verdict.REQUEUE,
        "no_capacity",
        30_000,
    )
    monkeypatch.setattr(world.router, "route", route)
    await world.world.client.zadd("{hr}:delay", {"job_sum": 1}, xx=True)  # half a minute later
    assert (await world.result())["documents"][0]["status"] == "completed"


async def test_a_model_that_takes_too_little_is_said_so(valkey):
    async with summary_world(valkey.url, context_window=400) as world:
        await world.accept(input=STORY)
        record = await world.run()
        assert record.error["code"] == "context_too_small"


async def test_what_is_done_is_seen_while_the_rest_is_not(small: SummaryWorld):
    await small.accept(documents=[{"text": STORY}, {"text": long_text(80)}])
    await small.take_step()
    claims = await small.world.claim(want=100, providers=("alpha",))
    done = next(c for c in claims if asked(c)["text"] == STORY)
    await small.world.finish(done, briefly(done))
    await small.take_step()
    record = await small.get()
    assert record.status is Status.IN_PROGRESS
    assert record.progress.step["documents"] == {"total": 2, "completed": 1, "failed": 0}
    assert record.progress.step["phase"] == "summarising"
    state = of_json((await small.world.jobs.family("job_sum")).state)
    (entry,) = await entries(small.kept, "job_sum", record.doc, state)
    assert entry["summary"] == " ".join(STORY.split()[:12])


async def test_what_was_kept_is_removed_once_it_is_done(world: SummaryWorld):
    await world.kept.put("text_1", "1", STORY.encode())
    kept = {"kept_as": "text_1", "kept": {"1": "1"}}
    await world.accept(documents=[{"text": STORY}, {"text": "(kept)"}], extra=kept)
    await world.run()
    now = await world.files.now_ms()
    due = await world.world.client.zrange("{hr}:files:due", 0, -1, withscores=True)
    assert len(due) >= 4
    assert all(score <= now + 3_600_000 for _, score in due)
    assert await world.files.get(due[0][0].decode(), "t1") is None
    assert object_name(due[0][0].decode()).startswith("files/job_sum-")
