"""Pages of a list to the declared objects that do not change: compared while the server builds the next page."""

from __future__ import annotations

from lettaform.address import Address
from lettaform.backend import Reads
from lettaform.model import AgentChange, Listing, Live, Manifest, Observed, PlanOptions
from lettaform.plan import Settled, unchanged
from lettaform.session.observe import Pages


class Early:
    """What is known not to change, before everything is read.

    manifest  None until it is loaded; pages wait for it
    """

    def __init__(self, reads: Reads, options: PlanOptions) -> None:
        self.reads, self.options = reads, options
        self.manifest: Manifest | None = None
        self._pages: Pages | None = None
        self._waiting: list[tuple[str, Listing]] = []
        self._found: dict[Address, tuple[Live, tuple[AgentChange, ...]]] = {}

    def arrived(self, kind: str, listing: Listing) -> None:
        """Compare the objects of a page, and those of the pages that waited: see `backend.Arrived`."""
        self._waiting.append((kind, listing))
        if self.manifest is not None:
            self.compare(self.manifest)

    def compare(self, manifest: Manifest) -> None:
        """Compare the objects of the pages that wait."""
        waiting, self._waiting = self._waiting, []
        for page in waiting:
            self._compare(manifest, *page)

    def settled(self, observed: Observed) -> Settled:
        """What does not change, if the whole observation has the very objects that were compared."""
        now = observed.objects
        return {address: agents for address, (live, agents) in self._found.items() if now.get(address) is live}

    def _compare(self, manifest: Manifest, kind: str, listing: Listing) -> None:
        if manifest.moved or manifest.imports or manifest.removed:  # they are resolved with all objects at hand
            return
        page = {live.id for live in listing.objects[kind]}
        if self._pages is None or self._pages.kind != kind:
            self._pages = Pages(self.reads, manifest, kind, listing)
        observed = self._pages.observe(listing)
        if observed is None:
            return
        addresses = [address for address, live in observed.objects.items() if live.id in page]
        for address, agents in unchanged(manifest, observed, self.options, addresses).items():
            self._found[address] = observed.objects[address], agents
