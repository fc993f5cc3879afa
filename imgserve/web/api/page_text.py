"""Plain text as HTML, escaped. Knows no document."""

import html
import re

_CODE = re.compile(r"`([^`]+)`")


def table(names: tuple[str, ...], rows: str) -> str:
    """Write a table of rows."""
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def prose(raw: str) -> str:
    """Write paragraphs, and lists where lines begin with a dash."""
    told = []
    for block in raw.strip().split("\n\n"):
        lines = block.splitlines()
        if lines and all(line.startswith("- ") for line in lines):
            told.append("<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>")
        elif block:
            told.append(f"<p>{inline(block)}</p>")
    return "\n".join(told)


def inline(raw: str) -> str:
    """Escape, and show code as code."""
    return _CODE.sub(r"<code>\1</code>", text(raw))


def text(raw: str) -> str:
    """Escape."""
    return html.escape(raw)


def broken(path: str) -> str:
    """Let a long address break after its slashes."""
    return text(path).replace("/", "/<wbr>")


def verb(method: str) -> str:
    """Show a method."""
    return f'<b class="verb {method}">{method.upper()}</b>'


def capital(raw: str) -> str:
    """Begin with a capital letter."""
    return raw[:1].upper() + raw[1:]


def slug(raw: str) -> str:
    """Name a group in addresses."""
    return "tag-" + re.sub(r"\W+", "-", raw)
