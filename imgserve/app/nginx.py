"""The configuration of an nginx that serves published pictures from the cache folder."""

import re
from pathlib import Path

from imgserve.access.sites import Sites
from imgserve.app.access import cors_of
from imgserve.app.settings import url_options
from imgserve.cache.published import PUBLISHED, WINDOW_DIGITS
from imgserve.config import Config
from imgserve.formats import FORMATS
from imgserve.http.headers import RawHeaders, cache_status
from imgserve.web.published import ACCEPT_RULES, EXTENSIONS, FIXED, common_headers, target_pattern

_TEMPLATE = r"""# Serves pictures from the cache folder of imgserve, and passes other requests on.
# Written by `imgserve config nginx` for these settings; include it in the http block. See docs/deployment.md.

# A link is found for 1000 seconds; then imgserve looks at the original again.
map $msec $imgserve_window {{
    default 0;
    "~^([0-9]+)[0-9]{{{digits}}}\." $1;
}}

# The classes of clients for auto=format. What cannot be told from a pattern is left to imgserve.
map $http_accept $imgserve_accept {{
    default none;
{accepts}
}}

# Requests with a key, and with conditions that only imgserve can check.
map "$http_authorization$http_x_api_key$http_if_match$http_if_unmodified_since" $imgserve_special {{
    default 1;
    "" "";
}}
map $http_if_none_match $imgserve_tag {{
    default "";
    "~\"[0-9a-f]{{32}}-[0-9a-f]{{8}}\"" 1;
}}
map $host $imgserve_host {{
    hostnames;
{hosts}
}}

map "$imgserve_host $imgserve_special$imgserve_tag $request_method $request_uri" $imgserve_name {{
    default -;
    "~^1  (?:GET|HEAD) {target}$" $1/@$2;
}}
map $uri $imgserve_vary {{
    default Accept;
    "~^/{published}/[0-9]+/{fixed}/" "";
}}

upstream imgserve {{
    server {upstream};
    keepalive 32;
}}

server {{
    listen {listen};
    client_max_body_size 0;

    location {prefix}/ {{
        root {cache};
        open_file_cache off;  # it would serve purged pictures
        types {{ {types} }}
        add_header Vary $imgserve_vary;
{headers}
        add_header X-Request-Id $request_id;
        error_page 403 404 = @imgserve;  # purged since the next lines found it, or not readable
        log_not_found off;
        try_files
{files}
            @imgserve;
    }}
    location @imgserve {{
{proxy}
    }}
{rest}}}
"""
_PROXY = """        proxy_pass http://imgserve$request_uri;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Request-Id $request_id;"""
_REST = f"""    # Pages, API and admin page. Remove this to publish pictures only.
    location / {{
{_PROXY}
        proxy_request_buffering off;
        proxy_buffering off;
    }}
"""


def nginx_configuration(
    config: Config, sites: Sites, *, upstream: str | None = None, cache: Path | None = None, listen: str = "80"
) -> str:
    """Return the configuration; `upstream` and `cache` are the server and its cache folder as nginx sees them."""
    options, prefix = url_options(config), config.urls.prefix
    headers: RawHeaders = common_headers(options, cors_of(config, sites)[""])
    if config.http.timing_header:
        headers.append((b"cache-status", cache_status(detail="nginx").encode()))
    hosts = config.server.allowed_hosts
    # hostnames: *.example.com matches subdomains, as in our setting.
    allowed = ["default 1;"] if "*" in hosts else ['default "";', *(f"{host} 1;" for host in hosts)]
    folders = (f"/{PUBLISHED}/$imgserve_window/{folder}" for folder in (FIXED, "$imgserve_accept"))
    return _TEMPLATE.format(
        digits=WINDOW_DIGITS,
        accepts="\n".join(
            f"    {_quoted(f'~*{pattern}')} {name or '-'};" for pattern, name in ACCEPT_RULES if name != "none"
        ),
        hosts="\n".join(f"    {line}" for line in allowed),
        target=target_pattern(prefix),
        published=PUBLISHED,
        fixed=FIXED,
        upstream=upstream or _reachable(config),
        listen=listen,
        prefix=prefix,
        cache=_quoted(str(cache or config.cache.folder.absolute())),
        types=" ".join(f"{FORMATS[name].media_type} {name};" for name in EXTENSIONS),
        headers="\n".join(f"        add_header {_title(name)} {_quoted(value.decode())};" for name, value in headers),
        files="\n".join(f"            {folder}/$imgserve_name.{name}" for folder in folders for name in EXTENSIONS),
        proxy=_PROXY,
        rest=_REST if prefix else "",
    )


def _reachable(config: Config) -> str:
    """Return the address that a server listens on, as a program of the same machine connects to it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.server.host, config.server.host)  # noqa: S104  compared
    return f"{f'[{host}]' if ':' in host else host}:{config.server.port}"


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', lambda found: "\\" + found[0], text) + '"'


def _title(name: bytes) -> str:
    return "-".join(word.capitalize() for word in name.decode().split("-"))
