"""The section of the settings about bulk imports."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from imgserve.config.sections import UNSEEN, hidden
from imgserve.config.values import Duration, Networks, Numbers, Section, Size, WholeDuration
from imgserve.errors import BadImageId
from imgserve.jobs.webhooks import is_webhook_secret
from imgserve.originals.writable import check_id
from imgserve.validation import expected, stated


def _path(text: str) -> str:
    try:
        check_id(text.format(product="a", name="a.jpg"))
    except (BadImageId, KeyError, IndexError, ValueError):
        raise expected("a path such as products/{product}/{name}") from None
    if "{product}/" not in text or not text.endswith("{name}"):
        raise expected("a path with a folder {product} that ends with {name}")
    return text


def _webhook_secret(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value() and not is_webhook_secret(secret.get_secret_value()):
        raise stated("expected whsec_ and 24 to 64 bytes in base64; the secret is not shown here")
    return secret


class ImportsConfig(Section):
    """Bulk imports of images from tables of URLs. uploads.fetch turns them off."""

    path: Annotated[str, AfterValidator(_path)] = "products/{product}/{name}"
    """Ids of imported images."""
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    """Maximum rows of a table; it may have twice as many images."""
    file_bytes: Annotated[Size, Field(gt=0)] = 50_000_000
    """Maximum size of the file with a table."""
    concurrency: Annotated[int, Field(ge=1, le=500)] = 32
    """Images that a node fetches at a time; twice as many more are inspected and recorded meanwhile."""
    per_host: Annotated[int, Field(ge=1, le=500)] = 4
    """The same from one host."""
    per_second: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    """Requests that a node begins in a second."""
    host_per_second: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    """The same to one host."""
    read_timeout: Annotated[Duration, Field(gt=0, le=600)] = 45.0
    """Longest pause of a server within a response."""
    timeout: Annotated[Duration, Field(gt=0, le=3600)] = 180.0
    """Time limit for one attempt, from the name lookup to the last byte."""
    image_bytes: Annotated[Size, Field(gt=0)] = 50_000_000
    """Maximum size of an image, if limits.original_bytes is not smaller."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """How often an image is tried, if the server does not respond, breaks off or is overloaded."""
    retry_delay: Annotated[Duration, Field(gt=0, le=3600)] = 2.0
    """Pause after the first failure of an image; it doubles with each further one."""
    expire: Annotated[WholeDuration, Field(ge=60)] = 30 * 86400
    """How long a finished import is stored; its images stay."""
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] = SecretStr("")
    """Secret of the signatures of webhooks: whsec_ and base64; empty uses a generated one, which the API shows."""
    webhook_networks: Networks = ()
    """Private networks, such as 10.1.0.0/16, that webhooks may reach in addition to the public Internet."""
    webhook_ports: Numbers = (80, 443)
    """Ports that webhooks may use."""


_Queue = Annotated[
    str,
    hidden(
        r"(rediss?|unix|postgres(ql)?)://\S+",
        f"redis://host:6379/0, postgresql://user:password@host/name, or nothing{UNSEEN}",
    ),
]


class JobsConfig(Section):
    """Background work."""

    queue: Annotated[_Queue, Field(repr=False)] = ""
    """Queue that spreads imports over several nodes, redis:// or postgresql://; empty: each node looks for work."""
