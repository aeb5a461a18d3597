"""What can be wrong with the layout of a figure: texts that meet, or that leave the page."""

from __future__ import annotations

import itertools


def texts(figure):
    """Every text that is drawn, with its box on the page."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    drawn = [*figure.texts, figure._suptitle] if figure._suptitle else [*figure.texts]
    for legend in figure.legends:
        drawn += legend.get_texts()
    for ax in figure.axes:
        if ax.get_visible():
            drawn += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
            for axis in (ax.xaxis, ax.yaxis):  # matplotlib keeps labels of ticks outside the limits; they are not drawn
                drawn += [axis.get_offset_text(), *(t.label1 for t in axis._update_ticks())]
    boxes = {
        id(t): (t.get_text(), t.get_window_extent(renderer)) for t in drawn if t.get_visible() and t.get_text().strip()
    }
    return list(boxes.values())


def overlaps(figure):
    """Pairs of texts whose boxes meet, texts that leave the page, legends that lie on a panel."""
    wrong, seen = [], texts(figure)
    page = figure.bbox
    for text, box in seen:
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1:
            wrong.append(f"{text!r} leaves the page")
    for (a, box), (b, other) in itertools.combinations(seen, 2):
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        if width > 1 and height > 1:  # a pixel of a hundredth of an inch is the rim of a box
            wrong.append(f"{a!r} on {b!r}")
    for legend in figure.legends:
        for ax in figure.axes:
            if ax.get_visible() and legend.get_window_extent().overlaps(ax.get_window_extent()):
                wrong.append("the legend lies on a panel")
    return wrong
