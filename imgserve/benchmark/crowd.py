"""Many clients who ask at the same moment for one picture that nobody has asked for before."""

from imgserve.benchmark.ask import counted
from imgserve.benchmark.figures import at_most, exactly, ratios
from imgserve.benchmark.load import drive, request
from imgserve.benchmark.servers import imgserve
from imgserve.benchmark.setup import Setup

_WIDTH = 640


def measure(setup: Setup) -> None:
    """Alternate between the crowd and one client, each with an original of its own."""
    first, last, alone, renders = [], [], [], []
    gallery, figures, crowd = setup.gallery, setup.figures, setup.pace.crowd
    with imgserve(gallery.folder, setup.new_folder()) as server:

        def ask(clients: int) -> list[float]:
            sent = request(f"/img/{gallery.fresh(gallery.largest)}?width={gallery.scaled(_WIDTH)}")
            return drive(server.address, [sent] * clients, clients).expect(200).latencies

        ask(crowd)
        for _ in setup.pace.turns():
            before = counted(server.address, "imgserve_renders_total")
            many = ask(crowd)
            renders.append(counted(server.address, "imgserve_renders_total") - before)
            first.append(min(many) * 1000)
            last.append(max(many) * 1000)
            alone.append(max(ask(1)) * 1000)
    figures.add(f"renderings for {crowd} clients of one cold picture", "renderings", renders, exactly(1))
    figures.add(f"first of {crowd} clients", "ms", first)
    figures.add(f"last of {crowd} clients", "ms", last)
    figures.add("the same for one client", "ms", alone)
    figures.add("last / first", "ratio", ratios(last, first), at_most(1.5))
    figures.add("last / one client alone", "ratio", ratios(last, alone))
