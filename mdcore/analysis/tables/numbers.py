"""Numbers as text: the digits follow the uncertainty. One set of rules for LaTeX, the report and the sentences."""

from __future__ import annotations

import math
import re
from typing import Any, TypeGuard

_SUPER = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DASH = "–"


def is_number(x: Any) -> TypeGuard[float]:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


def _fixed(x: float, decimals: int) -> str:
    text = f"{round(x, decimals):.{max(decimals, 0)}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text  # no minus zero


def _order(x: float) -> int:
    return math.floor(math.log10(abs(x)))


def parts(mean: float, spread: float | None = None, digits: int = 3) -> tuple[str, str | None, int]:
    """(mean, spread, exponent of ten) as strings with the same decimals.

    With a spread > 0 its first significant digit decides, its second too when the first is 1. Without one, or with
    one below 1e-5 of the mean, the mean has `digits` significant digits, 5 where the spread is more than rounding.
    Below 1e-3 and from 1e5 on a power of ten is split off.
    """
    size = spread if is_number(spread) else None
    decides = size is not None and size > 0 and size >= 1e-5 * abs(mean)
    if size is not None and not decides:  # digits that no reader could use; below 1e-12 the spread is rounding noise
        digits = 5 if size > 1e-12 * abs(mean) else digits
    largest = max(abs(mean), abs(size or 0.0))
    exponent = _order(largest) if largest and not -3 <= _order(largest) < 5 else 0
    scale = 10.0**exponent
    mean, size = mean / scale, None if size is None else size / scale
    if size is not None and decides:
        order = _order(size)
        decimals = (1 if size < 1.95 * 10.0**order else 0) - order
    elif mean:
        decimals = digits - 1 - _order(mean)
    else:
        decimals = 0 if size is None else digits - 1
    return _fixed(mean, decimals), (None if size is None else _fixed(size, decimals)), exponent


def number_as_text(mean: float, spread: float | None = None, unit: str = "", digits: int = 3) -> str:
    """ "12.31 ± 0.04°", "(3.1 ± 0.2)×10⁻⁵"; an en dash where there is no number."""
    if not is_number(mean):
        return DASH
    m, s, e = parts(mean, spread, digits)
    text = m if s is None else f"{m} ± {s}"
    if e:
        text = (text if s is None else f"({text})") + "×10" + str(e).translate(_SUPER)
    return text.replace("-", "−") + unit


def decimals_of(means: list[float], spreads: list[float]) -> int | None:
    """How many decimals all numbers of a column have; None where powers of ten show more.

    The spread that needs most decides, with one significant digit, two when the first is 1, as in `parts`; where the
    largest mean has decimals, it has at most four significant digits. Powers of ten: where the largest mean is below
    1e-3, or 1e5 and more.
    """
    known = [(abs(m), s) for m, s in zip(means, spreads, strict=True) if is_number(m)]
    largest = max((m for m, _ in known), default=0.0)
    if not largest:
        return 0
    if not 1e-3 <= largest < 1e5:
        return None
    needed = [len(parts(m, s)[0].partition(".")[2]) for m, s in known if is_number(s) and s >= max(1e-5 * m, 1e-5)]
    return max(0, min(max(needed, default=2 - _order(largest)), 3 - _order(largest)))


def aligned(means: list[float], spreads: list[float] | None = None, bounds: bool = False) -> list[str]:
    """A column of numbers with the same decimals, as siunitx reads them; "" where there is no number.

    "0.363 +- 0.019"; "0.119" where the spread does not show in these decimals, or there is none; "<0.001" where the
    mean does not; "2.51e11" in a column of powers of ten, where no spread is shown. `bounds`: never rounded down.
    """
    spreads = spreads or [float("nan")] * len(means)
    decimals = decimals_of(means, spreads)
    return [_one(m, s, decimals, bounds) if is_number(m) else "" for m, s in zip(means, spreads, strict=True)]


def _one(mean: float, spread: float, decimals: int | None, bounds: bool) -> str:
    if decimals is None:
        mantissa, _, power = f"{rounded_up(mean) if bounds else mean:.2e}".partition("e")
        return f"{mantissa}e{int(power)}" if mean else "0"
    unit = 10.0**-decimals
    if bounds:
        return f"{math.ceil(round(mean / unit, 6)) * unit:.{decimals}f}"
    text = _fixed(mean, decimals)
    if mean and not text.strip("-0."):
        return f"<{unit:.{decimals}f}" if mean > 0 else f">-{unit:.{decimals}f}"
    shown = _fixed(spread, decimals) if is_number(spread) else ""
    return f"{text} +- {shown}" if shown.strip("0.") else text


def how_to_read(runs: list[int], cells: list[str], over: str, what: str = "") -> str:
    """What the numbers of a table are, in a sentence: `cells` of `aligned`, of conditions with so many `runs`."""
    if all(n <= 1 for n in runs):
        return f"Single runs, one a condition{what and ':'}{what.removeprefix(' of')}."
    spread = any("+-" in cell for cell in cells)
    words = f"{'Mean ± standard deviation' if spread else 'Mean'}{what} over {over}"
    if spread and any(cell and "+-" not in cell and "e" not in cell for cell in cells):
        words += f"; without ±: identical in all seeds to the digits shown{', or a single run' if 1 in runs else ''}"
    return words + ("; powers of ten: the mean alone." if any("e" in cell for cell in cells) else ".")


def readable(text: str) -> str:
    """A cell of `aligned` as people read it: "0.363 ± 0.019", "< 0.001", "2.51×10¹¹"; an en dash where it is empty."""
    mantissa, _, power = text.partition("e")
    text = mantissa + (f"×10{power.translate(_SUPER)}" if int(power or 0) else "")
    return re.sub(r"^([<>])", r"\1 ", text.replace("+-", "±").replace("-", "−")) or DASH


def with_interval(mean: float, low: float, high: float, most: int = 3) -> tuple[str, str, str]:
    """(mean, low, high) with the same decimals, at most `most`: the half width has the digits of an uncertainty."""
    half = (high - low) / 2
    if half > 0:
        order = _order(half)
        decimals = (1 if half < 1.95 * 10.0**order else 0) - order
    else:
        decimals = 2 - _order(mean) if mean else 0
    decimals = min(decimals, most)
    return _fixed(mean, decimals), _fixed(low, decimals), _fixed(high, decimals)


def angle(degrees: float) -> str:
    """ "0.31°", two significant digits; what lies below any use is not spelt out: "under 10⁻⁶°"."""
    return "under 10⁻⁶°" if 0 <= degrees < 1e-6 else number_as_text(degrees, unit="°", digits=2)


def angle_at_most(degrees: float) -> str:
    """A bound in degrees, as `angle` writes it but never rounded down: 0.931 is "0.94°", and "10⁻⁶°" the smallest."""
    if not is_number(degrees):
        return angle(degrees)
    return "10⁻⁶°" if 0 <= degrees <= 1e-6 else angle(rounded_up(degrees))


def rounded_up(x: float) -> float:
    """A bound with two significant digits, never rounded down; what is not above zero as it is."""
    if not is_number(x) or x <= 0:
        return x
    unit = 10.0 ** (_order(x) - 1)
    return math.ceil(round(x / unit, 9)) * unit


def percent(x: float) -> str:
    """ "0.31 %"; two significant digits, at least one decimal below 10."""
    if not is_number(x):
        return DASH
    x = 100 * x
    if 0 < x < 1e-4:
        return "under 0.0001 %"
    if abs(x) >= 10:
        return f"{x:.0f} %".replace("-", "−")
    return number_as_text(float(f"{x:.2g}"), digits=2) + " %"


def count(n: float, digits: int = 0) -> str:
    """ "12,345", "3.4×10⁷": a number of steps; `digits` significant digits for an estimate, 0: all up to a million."""
    if not is_number(n):
        return "no finite number of"
    n = float(f"{n:.{digits}g}") if digits else n
    if n < 1e6:
        return f"{round(n):,}"
    return number_as_text(float(f"{n:.2g}"), digits=2)


def written(x: float) -> str:
    """A setting as it was written: "0.1", "1000", "10¹⁰"."""
    mantissa, _, power = f"{x:g}".partition("e")
    if not power:
        return mantissa
    return f"{'' if mantissa == '1' else mantissa + '×'}10{str(int(power)).translate(_SUPER)}"


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3.5 h", "8 days"."""
    if not is_number(seconds):
        return DASH
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        n = seconds / size
        if n >= 2:
            return f"{n:.2g} {name}" if n < 10 else f"{n:,.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
