"""The event source contract as tests: subclass it, give it a few hooks, run pytest."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from temporal_runner.errors import PermanentError
from temporal_runner.events.event import Delivery
from temporal_runner.plugin.sources import PullSource, PushSource
from temporal_runner.testing import steps
from temporal_runner.testing.fakes import make_context
from temporal_runner.testing.service import SourceUnderTest

_REASON = "conformance: this event can never succeed"


@pytest.mark.asyncio
class EventSourceConformance(SourceUnderTest):
    """The promises of an event source, each a test. What it declares it has, it must have.

    Subclass it as `TestMySource`, write `make_source` and `put`, and the hooks that belong to what
    you declare (see `SourceUnderTest`). Each test begins with an empty service: make one in an
    autouse fixture.
    """

    async def test_it_is_pulled_or_pushed(self) -> None:
        """It is a PullSource or a PushSource, and not both."""
        source = self.make_source(make_context())
        forms = [form for form in (PullSource, PushSource) if isinstance(source, form)]
        assert len(forms) == 1, f"{type(source).__name__} has to be a PullSource or a PushSource"

    async def test_close_is_always_allowed(self) -> None:
        """close() works before connect(), after it, and a second time."""
        source = self.make_source(make_context())
        await source.close()
        source = self.make_source(make_context())
        await source.connect()
        await source.close()
        await source.close()

    async def test_an_event_arrives_whole(self) -> None:
        """An event that happens is delivered, as a sound CloudEvents event."""
        async with self.receiving() as receiving:
            sender, delivery = await steps.deliver(self, receiving, "one")
            steps.check_event(delivery.event)
            await receiving.ack(delivery)
            await steps.learns(self, sender, "accepted")

    async def test_two_events_are_two(self) -> None:
        """Two events that happen have two identities: the second is not taken for the first."""
        async with self.receiving() as receiving:
            one = await steps.deliver_and_ack(self, receiving, "one")
            two = await steps.deliver_and_ack(self, receiving, "two")
            assert steps.identity(one) != steps.identity(two), (
                f"two events have one identity: for {steps.identity(one)} the second starts nothing"
            )

    async def test_an_acknowledged_event_does_not_come_again(self) -> None:
        """ack() is the end of an event, for this object and for the next one."""
        async with self.receiving() as receiving:
            await steps.deliver_and_ack(self, receiving, "one")
            await receiving.nothing(self.quiet)
        async with self.receiving() as receiving:
            await receiving.nothing(self.quiet)

    async def test_a_nacked_event_comes_again(self) -> None:
        """nack() has the same event come again, or its sender send it again."""
        async with self.receiving() as receiving:
            sender, first = await steps.deliver(self, receiving, "one")
            await receiving.nack(first)
            await steps.learns(self, sender, "again")
            if not receiving.pushes:
                steps.needs(self, "redelivers")
                again = await receiving.next()
                steps.check_same(first, again)
                await receiving.ack(again)

    async def test_an_unsettled_event_comes_again(self) -> None:
        """What a source that is closed had delivered and not settled comes to the next one."""
        async with self.receiving() as receiving:
            if receiving.pushes:
                pytest.skip("its sender keeps the event")
            steps.needs(self, "redelivers")
            _, first = await steps.deliver(self, receiving, "one")
        async with self.receiving() as receiving:
            again = await receiving.next()
            steps.check_same(first, again)
            await receiving.ack(again)

    async def test_a_rejected_event_is_kept(self) -> None:
        """reject() keeps the event with its reason where a person finds it, and ends it."""
        async with self.receiving() as receiving:
            sender, delivery = await steps.deliver(self, receiving, "one")
            await receiving.reject(delivery, _REASON)
            await steps.learns(self, sender, "refused")
            if not receiving.pushes:
                await receiving.nothing(self.quiet)
        if self.keeps_rejected:
            kept = await steps.kept_reason(self, "one")
            assert _REASON in kept, f"the reason is not kept with the event, but {kept!r}"
        elif sender is None:
            pytest.skip("it does not declare keeps_rejected")

    async def test_events_are_settled_in_any_order(self) -> None:
        """Several deliveries are settled at once, the last one first; none comes again."""
        names = ["one", "two", "three"]
        async with self.receiving() as receiving:
            senders = [await steps.put(self, receiving, name) for name in names]
            deliveries: list[Delivery] = []
            while len(deliveries) < len(names):
                deliveries.append(await receiving.next())
                if self.ordered:  # it may hold back the next one until this one is settled
                    await receiving.ack(deliveries[-1])
            if not self.ordered:
                await asyncio.gather(*map(receiving.ack, reversed(deliveries)))
            for sender in senders:
                await steps.learns(self, sender, "accepted")
            found = sorted(str(self.name_of(delivery.event)) for delivery in deliveries)
            assert found == sorted(names), f"of {sorted(names)} these arrived: {found}"
            await receiving.nothing(self.quiet)

    async def test_events_come_in_order(self) -> None:
        """Where it declares `ordered`, events come as they were put, under one ordering_key."""
        steps.needs(self, "ordered")
        names = [f"event-{number}" for number in range(5)]
        found: list[Delivery] = []
        async with self.receiving() as receiving:
            for name in names:
                await steps.put(self, receiving, name)
            while len(found) < len(names):
                found.append(await receiving.next())
                await receiving.ack(found[-1])
        order = [self.name_of(delivery.event) for delivery in found]
        assert order == names, f"put in the order {names}, delivered in the order {order}"
        keys = {delivery.ordering_key for delivery in found}
        assert len(keys) == 1, f"events of one order have several ordering keys: {keys}"
        assert keys != {None}, "without an ordering_key the runner handles events in any order"

    async def test_a_cancelled_receive_loses_nothing(self) -> None:
        """receive() may be cancelled while it waits: what came meanwhile is delivered later."""
        source = self.make_source(make_context())
        if not isinstance(source, PullSource):
            pytest.skip("it is pushed to")
        names = [f"event-{number}" for number in range(5)]
        missing: set[str | None] = set(names)
        await source.connect()
        try:
            async with asyncio.timeout(self.patience) as deadline:
                for number, name in enumerate([None, *names]):
                    waiting = asyncio.ensure_future(source.receive())
                    await asyncio.sleep(0)
                    if name is not None:
                        await self.put(name)
                    await asyncio.sleep(self.quiet / 8 * max(0, number - 1))
                    waiting.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        missing -= await steps.acknowledge(self, await waiting)
                while missing:
                    missing -= await steps.acknowledge(self, await source.receive())
                    await asyncio.sleep(0)
        except Exception as error:
            if not deadline.expired():
                raise AssertionError(f"cancelled, receive() raised {error!r}") from error
        finally:
            await source.close()
        assert not missing, f"lost while receive() was cancelled: {missing}"

    async def test_stopping_finishes_what_is_in_flight(self) -> None:
        """serve() ends when it is cancelled, and its senders still get their answers."""
        async with self.receiving() as receiving:
            if not receiving.pushes:
                pytest.skip("it is pulled")
            sender, delivery = await steps.deliver(self, receiving, "one")
            stopping = asyncio.create_task(receiving.stop())
            await asyncio.sleep(self.quiet / 2)
            await receiving.ack(delivery)
            await steps.learns(self, sender, "accepted")
            await stopping

    async def test_what_is_malformed_stops_nothing(self) -> None:
        """What no event can be made of is refused or set aside; the events behind it come."""
        steps.writes(self, "put_malformed")
        async with self.receiving() as receiving:
            learned = await self.put_malformed()
            if receiving.pushes:
                assert learned == "refused", f"its sender learned {learned!r}, not 'refused'"
            await steps.deliver_and_ack(self, receiving, "one")
            await receiving.nothing(self.quiet)

    async def test_an_unreachable_service_is_transient(self) -> None:
        """Without its service connect() fails in time and not for good, and close() still works."""
        steps.writes(self, "make_unreachable_source")
        source = self.make_unreachable_source(make_context())
        try:
            async with asyncio.timeout(self.patience) as deadline:
                await source.connect()
        except PermanentError as error:
            raise AssertionError(f"what may come back is not permanent: {error}") from None
        except Exception:
            assert not deadline.expired(), f"connect() took longer than {self.patience:g}s"
        else:
            raise AssertionError("connect() succeeded: without its service it has to raise")
        finally:
            await source.close()

    async def test_it_ends_what_it_started(self) -> None:
        """After close() none of the source's tasks runs any longer."""
        before = asyncio.all_tasks()
        async with self.receiving() as receiving:
            await steps.deliver_and_ack(self, receiving, "one")
        if left := asyncio.all_tasks() - before:
            _, running = await asyncio.wait(left, timeout=self.patience)
            names = ", ".join(str(task.get_coro()) for task in running)
            assert not running, f"still running after close(): {names}"

    async def test_it_shows_no_secret(self, caplog: pytest.LogCaptureFixture) -> None:
        """No secret of its options is in describe(), repr(), an error or a line of its log."""
        caplog.set_level(logging.DEBUG)
        async with self.receiving() as receiving:
            described = receiving.source.describe()
            assert isinstance(described, str), "describe() has to return a text"
            delivery = await steps.deliver_and_ack(self, receiving, "one")
            shown = [described, repr(receiving.source), repr(delivery)]
        shown += [await steps.error_without_service(self), caplog.text]
        for secret in self.secrets:
            assert not any(secret in text for text in shown), f"the secret {secret!r} is shown"
