"""Draws a customer: a single HTML file that needs no network and no script."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from heap_courier.stitch.customer import Link, name_of
from heap_courier.stitch.records.inputs import Pair

if TYPE_CHECKING:  # explaining needs the extra, drawing does not
    from heap_courier.stitch.explain import Explanation

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1c2430; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 } th, td { text-align: left; padding: .3rem .8rem .3rem 0 }
th { border-bottom: 1px solid #9aa5b1 } svg { max-width: 100% } text { font-size: 12px; fill: #1c2430 }
.joined { stroke: #1f7a4d } .refused { stroke: #b3261e; stroke-dasharray: 5 4 }
.other { fill: #fbe9e7; stroke: #b3261e }
.own { fill: #e3f2ea; stroke: #1f7a4d } .number { fill: #52606d }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #e4e7eb } text { fill: #e4e7eb }
.own { fill: #163d2a } .other { fill: #45201d } .number { fill: #b8c2cc } }
"""

_ROOM: Final = 230  # pixels for a name beside the circle
_TO_THE_LEFT: Final = ' text-anchor="end"'


def picture(explanation: Explanation) -> str:
    """The page: records as circles, links as lines, and a table of the links."""
    links = [*explanation.path, *explanation.refused]
    title = "Customer " + " and ".join(explanation.customers)
    rows = "".join(map(_row, links))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"{drawing(explanation.records, links)}"
        "<p>Green: records of the customer and the links that connect them. Red, dashed: links that were not "
        "followed.</p><table><thead><tr><th>from</th><th>to</th><th>evidence</th><th>score</th><th>kept apart</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></body></html>\n"
    )


def _places(names: list[Pair]) -> dict[Pair, tuple[float, float]]:
    """Positions on a circle, starting at the top, with space for names on both sides."""
    radius = max(70, 14 * len(names)) if len(names) > 1 else 0
    turn = 2 * math.pi / max(len(names), 1)
    return {
        name: (radius + _ROOM + radius * math.sin(number * turn), radius + 30 - radius * math.cos(number * turn))
        for number, name in enumerate(names)
    }


def drawing(own: Collection[Pair], links: Sequence[Link]) -> str:
    """The records of a customer, the links, and the other records that these lead to, as SVG with CSS classes."""
    places = _places(sorted({*own, *(record for link in links for record in (link.first, link.second))}))
    middle = sum(x for x, _ in places.values()) / max(len(places), 1)
    width = max((x for x, _ in places.values()), default=0) + _ROOM
    height = max((y for _, y in places.values()), default=0) + 30
    drawn = []
    for link in links:
        (x1, y1), (x2, y2) = places[link.first], places[link.second]
        kind = "refused" if link.apart else "joined"
        drawn.append(
            f'<line class="{kind}" x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke-width="2"/>'
            f'<text class="number" x="{(x1 + x2) / 2 + 6:.0f}" y="{(y1 + y2) / 2 - 4:.0f}">{link.score:.0f}</text>'
        )
    for name, (x, y) in places.items():
        kind = "own" if name in own else "other"
        is_left = x < middle - 1
        drawn.append(
            f'<circle class="{kind}" cx="{x:.0f}" cy="{y:.0f}" r="9" stroke-width="2"/>'
            f'<text x="{x - 14 if is_left else x + 14:.0f}" y="{y + 4:.0f}"{_TO_THE_LEFT if is_left else ""}>'
            f"{escape(name_of(name))}</text>"
        )
    return (
        f'<svg role="img" aria-label="Records and links" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}">{"".join(drawn)}</svg>'
    )


def _row(link: Link) -> str:
    cells = (name_of(link.first), name_of(link.second), link.evidence, f"{link.score:.0f}", link.apart or "")
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
