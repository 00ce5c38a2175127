"""What every Journal promises."""

import pytest

from emulator.core.job import Job
from emulator.core.refs import FunctionRef
from emulator.engine.ports import Acceptance, Journal
from emulator.journal.memory import MemoryJournal


@pytest.fixture(params=[MemoryJournal])
def journal(request: pytest.FixtureRequest) -> Journal:
    """Each implementation in turn."""
    made: Journal = request.param()
    return made


async def accept(journal: Journal, name: str, *, due: float = 5.0, body: bytes = b"body") -> Job:
    """Let the journal keep a job of a function."""
    return await journal.accepted(
        Acceptance(
            request_id=f"id-of-{name}",
            ref=FunctionRef("svc", name),
            function_id=name,
            accepted_at=1.0,
            due_at=due,
            span_context="a:b:0:1",
            span_baggages=(("key", "value"),),
        ),
        body,
    )


async def test_an_accepted_job_is_kept_with_its_body(journal: Journal) -> None:
    """Numbers grow; functions have an index each."""
    first = await accept(journal, "f", body=b"\x00\xff")
    second = await accept(journal, "g")
    third = await accept(journal, "f", due=2.0)

    assert first.seq < second.seq < third.seq
    assert first.function == third.function != second.function
    assert await journal.body(first.seq) == b"\x00\xff"
    assert (first.request_id, first.ref, first.accepted_at, first.due_at) == (
        "id-of-f",
        FunctionRef("svc", "f"),
        1.0,
        5.0,
    )
    assert (first.span_context, first.span_baggages) == ("a:b:0:1", (("key", "value"),))


async def test_pending_names_what_is_not_settled(journal: Journal) -> None:
    """Enough to rebuild the heap: due, number, function."""
    jobs = [await accept(journal, name, due=due) for name, due in (("f", 3.0), ("g", 1.0))]
    done = await accept(journal, "f")
    await journal.claimed([done.seq])
    await journal.settled([done.seq])

    pending = sorted(await journal.pending())

    assert pending == sorted((job.due_at, job.seq, job.function) for job in jobs)


async def test_claimed_jobs_come_back_in_the_order_asked_for(journal: Journal) -> None:
    """They are still there until they are settled."""
    first, second = await accept(journal, "f"), await accept(journal, "g")

    claimed = await journal.claimed([second.seq, first.seq])

    assert claimed == [second, first]
    assert await journal.body(first.seq) == b"body"


async def test_a_settled_job_has_no_body(journal: Journal) -> None:
    """Nor has one that never was."""
    job = await accept(journal, "f")
    await journal.settled([job.seq])

    for seq in (job.seq, job.seq + 1000):
        with pytest.raises(KeyError):
            await journal.body(seq)
