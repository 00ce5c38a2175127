"""The bus between the engine and its observers."""

from emulator.engine.events import Event, EventBus, Fault, Notice
from tests.support.fakes import Events


async def test_every_sink_hears_every_event_in_order():
    bus, first, second = EventBus(), Events(), Events()
    bus.subscribe(first)
    bus.publish(Notice(text="one"))
    bus.subscribe(second)

    bus.publish(Notice(text="two"))

    assert first.all == [Notice(text="one"), Notice(text="two")]
    assert second.all == [Notice(text="two")]


async def test_sink_that_raises_is_dropped_and_the_others_hear_of_it():
    bus, before, after = EventBus(), Events(), Events()
    heard: list[Event] = []

    def broken(event: Event) -> None:
        heard.append(event)
        raise ValueError("no pen")

    bus.subscribe(before)
    bus.subscribe(broken)
    bus.subscribe(after)

    bus.publish(Notice(text="one"))
    bus.publish(Notice(text="two"))

    assert heard == [Notice(text="one")]
    for sink in (before, after):
        assert {e.text for e in sink.of(Notice)} == {"one", "two"}
        [fault] = sink.of(Fault)
        assert "broken" in fault.where
        assert isinstance(fault.error, ValueError)


async def test_several_broken_sinks_are_dropped_at_once():
    """The news of the first is what the second breaks on."""
    bus, sound = EventBus(), Events()
    calls = []

    def breaks(event: Event) -> None:
        calls.append("breaks")
        raise ValueError("no pen")

    def breaks_too(event: Event) -> None:
        calls.append("breaks too")
        raise ValueError("no paper")

    bus.subscribe(breaks)
    bus.subscribe(breaks_too)
    bus.subscribe(sound)

    bus.publish(Notice(text="one"))
    bus.publish(Notice(text="two"))

    assert calls == ["breaks", "breaks too"]
    assert len(sound.of(Fault)) == 2
    assert sound.of(Notice) == [Notice(text="one"), Notice(text="two")]


async def test_bus_without_sinks_takes_events():
    EventBus().publish(Notice(text="nobody listens"))
