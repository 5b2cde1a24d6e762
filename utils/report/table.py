"""One table for pages and notebooks: as Markdown, as HTML and as aligned text."""

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

__all__ = ["Link", "Table"]


class Link(NamedTuple):
    """A cell that leads to an address."""

    text: str
    address: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head. A head that ends in ":" aligns its column to the right.

    `note` is a line below it. Without rows, the note is all that is shown.
    """

    head: tuple[str, ...]
    rows: list[tuple[str | Link, ...]]
    note: str = ""

    def to_markdown(self) -> str:
        lines = [" | ".join(name.removesuffix(":") for name in self.head)]
        lines.append(" | ".join("---:" if name.endswith(":") else "---" for name in self.head))
        lines += [" | ".join(map(_markdown, row)) for row in self.rows]
        table = "\n".join(f"| {line} |" for line in lines) if self.rows else ""
        return "\n\n".join(filter(None, [table, self.note]))

    def __str__(self) -> str:
        names = tuple(name.removesuffix(":") for name in self.head)
        rows = [names, *(tuple(map(_text, row)) for row in self.rows)] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sides = [">" if name.endswith(":") else "<" for name in self.head]
        lines = [
            "  ".join(
                f"{cell:{side}{width}}"
                for cell, side, width in zip(row, sides, widths, strict=True)
            )
            for row in rows
        ]
        return "\n".join([line.rstrip() for line in lines] + [self.note] * bool(self.note))

    __repr__ = __str__  # what a notebook without HTML shows

    def _repr_html_(self) -> str:
        styles = [f"text-align:{'right' if name.endswith(':') else 'left'}" for name in self.head]
        heads = [f"<b>{escape(name.removesuffix(':'))}</b>" for name in self.head]
        rows = [heads, *(map(_html, row) for row in self.rows)] if self.rows else []
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="{style}">{cell}</td>' for style, cell in zip(styles, row, strict=True)
            )
            + "</tr>"
            for row in rows
        )
        return f"<table>{body}</table><p>{escape(self.note)}</p>"


def _text(cell: str | Link) -> str:
    return cell.text if isinstance(cell, Link) else cell


def _markdown(cell: str | Link) -> str:
    text = _text(cell).replace("|", "\\|").replace("\n", " ")
    return f"[{text}]({cell.address})" if isinstance(cell, Link) else text


def _html(cell: str | Link) -> str:
    text = escape(_text(cell))
    return f'<a href="{escape(cell.address)}">{text}</a>' if isinstance(cell, Link) else text
