"""Whatever comes, goes and gives up in whatever order: the queue keeps its promises."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from imgserve.errors import Busy
from imgserve.rendering.admission import ALLOWANCE, BRIEF_MEGAPIXELS, GIANT_MEGAPIXELS, Admission, Slot

WAITING, MEGAPIXELS = 6, 150.0
SIZES = st.sampled_from([0.0, 2.0, 24.0, GIANT_MEGAPIXELS, 30.0, 400.0])


class Client:
    """One picture that wants a place, and what the test knows of it."""

    def __init__(
        self,
        task: asyncio.Task[Slot],
        number: int,
        arrived: float,
        megapixels: float,
        *,
        background: bool,
        brief: bool,
    ) -> None:
        self.task = task
        self.megapixels = megapixels
        self.background = background
        self.brief = brief
        self.giant = megapixels > GIANT_MEGAPIXELS
        self.due = (arrived + ALLOWANCE * megapixels, number)

    def waits_in_the_way_of(self, other: "Client") -> bool:
        """Return whether this one may enter wherever the other may."""
        return self.background == other.background and self.brief >= other.brief and self.giant <= other.giant


class AdmissionModel(RuleBasedStateMachine):
    slots = 2

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.runner = asyncio.Runner()
        self.admission = Admission(self.slots, waiting=WAITING, waiting_megapixels=MEGAPIXELS, clock=lambda: self.now)
        self.arrivals = 0
        self.waiting: list[Client] = []
        self.new: list[Client] = []
        self.inside: list[Client] = []

    def teardown(self) -> None:
        try:
            for client in self.waiting:
                client.task.cancel()
            self.settle()
            for client in self.inside:
                client.task.result().leave()
            assert self.admission.free == self.slots
            assert self.admission.waiting == 0
            assert self.admission._pixels == {False: 0, True: 0}
        finally:
            self.runner.close()

    @rule(data=st.data(), number=st.integers(1, 4))
    def at_once(self, data: st.DataObject, number: int) -> None:
        """Several things between which no waiting task comes to its turn."""
        for _ in range(number):
            data.draw(st.sampled_from([self.arrive, self.arrive, self.leave, self.give_up]))(data)

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def arrive(self, data: st.DataObject) -> None:
        megapixels, background = data.draw(SIZES), data.draw(st.booleans())
        brief = background and megapixels <= BRIEF_MEGAPIXELS and data.draw(st.booleans())
        entering = self.admission.enter(megapixels, background=background, brief=brief)
        task = self.runner.get_loop().create_task(entering)
        self.arrivals += 1
        self.new.append(Client(task, self.arrivals, self.now, megapixels, background=background, brief=brief))

    def leave(self, data: st.DataObject) -> None:
        if self.inside:
            client = data.draw(st.sampled_from(self.inside))
            self.inside.remove(client)
            client.task.result().leave()

    def give_up(self, data: st.DataObject) -> None:
        if self.waiting or self.new:
            data.draw(st.sampled_from(self.waiting + self.new)).task.cancel()

    def settle(self) -> None:
        """Let every task run as far as it can."""

        async def steps() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.runner.run(steps())
        new, self.new, before = self.new, [], self.waiting
        entered = [client for client in self.waiting + new if has_entered(client)]
        still = [client for client in self.waiting if not client.task.done()]
        for client in entered:
            assert not client.background or all(other.background for other in still)
            for other in still:
                if other.waits_in_the_way_of(client):
                    assert client.due < other.due
        self.inside += entered
        self.waiting = still + [client for client in new if not client.task.done()]
        if len(new) == 1 and new[0].task.done() and not new[0].task.cancelled():
            check_refusal(new[0], [client for client in before if client.background == new[0].background])

    @invariant()
    def nobody_waits_who_may_enter(self) -> None:
        self.settle()
        clients = [client for client in self.waiting if not client.background]
        assert self.admission.free == self.slots - len(self.inside) >= 0
        assert self.admission.waiting == len(clients) <= WAITING
        assert self.admission._pixels[False] == round(sum(client.megapixels for client in clients) * 1e6)
        giants, lows = sum(client.giant for client in self.inside), sum(client.background for client in self.inside)
        share = max(1, self.slots - 1)
        assert giants <= share
        assert sum(client.background and not client.brief for client in self.inside) <= share
        if self.admission.free:
            for client in self.waiting:
                assert (client.giant and giants == share) or (client.background and (clients or lows >= share))


def has_entered(client: Client) -> bool:
    return client.task.done() and not client.task.cancelled() and client.task.exception() is None


def check_refusal(client: Client, before: list[Client]) -> None:
    if isinstance(client.task.exception(), Busy):
        megapixels = sum(other.megapixels for other in before) + client.megapixels
        assert len(before) >= WAITING or (before and megapixels > MEGAPIXELS)


class OnePlaceModel(AdmissionModel):
    slots = 1


class FourPlacesModel(AdmissionModel):
    slots = 4


TestOnePlace = OnePlaceModel.TestCase
TestTwoPlaces = AdmissionModel.TestCase
TestFourPlaces = FourPlacesModel.TestCase
TestOnePlace.settings = TestTwoPlaces.settings = TestFourPlaces.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
