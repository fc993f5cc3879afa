"""Absolute URLs of imported images."""

from dataclasses import dataclass

from imgserve.access.sites import Sites
from imgserve.catalog import StoredItem
from imgserve.client import ImageUrls
from imgserve.errors import BadTransform


@dataclass(frozen=True, slots=True)
class OutputUrls:
    """URLs of the outputs of imports, signed where URLs can be signed."""

    sites: Sites
    public: str
    """The address of the server; empty for that of each request."""
    prefix: str

    def url(self, item: StoredItem, output: str, address: str = "") -> str:
        """Return the URL of the output of a stored item; empty if it has none, or the parameters are no longer valid.

        `address` is that of the request, for a server without a public one.
        """
        if item.state not in {"stored", "duplicate"}:
            return ""
        secrets = self.sites.find(b"", item.image_id)[0].rules.secrets
        urls = ImageUrls((self.public or address) + self.prefix, secret=secrets[0] if secrets else None)
        try:
            return urls.with_query(output).url(item.image_id)
        except BadTransform:
            return ""
