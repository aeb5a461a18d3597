"""Result files read back are checked: columns, types, ids, ranges. What is wrong is said, never a crash."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mdcore.config.cell import METRIC, Cell
from mdcore.math.parameters import first_of
from mdcore.store.columns import FINAL_NUMBERS, HISTORY, METRICS, SEPARABLE_ONLY, SIZES, STATUSES, WORDS


def _some(ids) -> str:
    return first_of(sorted(str(i) for i in ids))


def _numbers(frame: pd.DataFrame, columns: list[str], what: str, problems: list[str]) -> pd.DataFrame:
    """Every column in `columns` there and float64; what was absent or not a number becomes NaN and is said."""
    out = {}
    for column in columns:
        if column not in frame:
            problems.append(f"{what}: column {column} is absent; its numbers are left out")
            out[column] = np.full(len(frame), np.nan)
            continue
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        lost = int(np.isnan(values).sum() - frame[column].isna().sum())
        if lost:
            problems.append(f"{what}: {lost} entries of {column} are not numbers; left out")
        out[column] = values
    return pd.DataFrame(out, index=frame.index)


def _ranges(frame: pd.DataFrame, columns: list[str], what: str, problems: list[str]) -> None:
    for column in columns:
        m, v = METRICS.get(column), frame[column].to_numpy()
        if m is None:
            continue
        with np.errstate(invalid="ignore"):
            bad = (v < m.low) | (v > m.high)
        if bad.any():
            worst = v[bad][np.argmax(np.abs(v[bad]))]
            problems.append(
                f"{what}: {column} is {worst:.6g} in {_some(set(frame['cell_id'][bad]))}; expected "
                f"between {m.low:g} and {m.high:g}; do not trust these cells, train them again"
            )


def _user_metrics(frame: pd.DataFrame) -> list[str]:
    """Metrics of the user's own, by their name space: what a column is called tells what it is."""
    return [c for c in frame.columns if c.startswith(METRIC)]


def check(cells: list[dict], final: pd.DataFrame | None, history: pd.DataFrame | None):
    """(final, history, problems, own metrics): tables with every expected column, rows that match the manifest.

    Rows of cells that the manifest does not name and second rows of a cell are dropped and said. Margins, gaps and
    angles to a max-margin direction are blanked where the data is not separable: there is none.
    """
    problems: list[str] = []
    ids = [c["cell_id"] for c in cells]
    known = set(ids)
    if len(known) < len(ids):
        problems.append(f"manifest: {len(ids) - len(known)} cell ids occur twice")
    final = final.copy() if final is not None and "cell_id" in final else pd.DataFrame({"cell_id": []}, dtype=object)
    final = final.reset_index(drop=True)
    final["cell_id"] = final["cell_id"].astype(str)
    strange = ~final["cell_id"].isin(known)
    if strange.any():
        problems.append(f"final: {_some(final['cell_id'][strange])} not in the manifest; left out")
    double = final["cell_id"].duplicated() & ~strange
    if double.any():
        problems.append(f"final: {_some(final['cell_id'][double])} committed twice; the first is used")
    final = final[~strange & ~double].reset_index(drop=True)

    user_metrics = _user_metrics(final)
    if "loss" in final and "log_inverse_loss" in final and not pd.api.types.is_numeric_dtype(final["loss"]):
        # the column is then the name of the loss function, a column of the configuration
        final["loss"] = np.exp(-pd.to_numeric(final["log_inverse_loss"], errors="coerce"))
    empty = not len(final)
    numbers = _numbers(final, [*HISTORY, *FINAL_NUMBERS, *SIZES, *user_metrics], "final", [] if empty else problems)
    words = {
        c: final[c].astype(object).where(final[c].notna(), "").astype(str)
        if c in final
        else pd.Series([""] * len(final), dtype=object)
        for c in WORDS
    }
    condition = final["condition_id"] if "condition_id" in final else pd.Series([None] * len(final), dtype=object)
    out = pd.concat([final[["cell_id"]], condition.rename("condition_id"), pd.DataFrame(words), numbers], axis=1)
    odd = ~out["status"].isin(list(STATUSES))
    if odd.any():
        problems.append(
            f"final: status {sorted(set(out['status'][odd]))} of {_some(out['cell_id'][odd])} is not one "
            f"of {', '.join(STATUSES)}; counted as failed"
        )
        out.loc[odd, "message"] = [f"unknown status {s!r}" for s in out["status"][odd]]
        out.loc[odd, "status"] = "failed"
    _ranges(out, HISTORY + FINAL_NUMBERS, "final", problems)
    _bracket(out, problems)
    _one_content(cells, out, problems)
    inseparable = out["separability"].isin(("overlapping", "quasi-separable"))
    inseparable |= out["status"].isin(("overlap", "quasi-separable"))
    blank = [c for c in SEPARABLE_ONLY if c in out]
    out.loc[inseparable, blank] = np.nan
    return (
        out,
        _history(history, known, set(out["cell_id"][inseparable]), user_metrics, problems),
        problems,
        user_metrics,
    )


def _bracket(final: pd.DataFrame, problems: list[str]) -> None:
    """The certificate must hold: γ_p(w) <= γ_p* <= ‖A^T λ‖_q, to 1e-6 relative."""
    low, exact, high = (final[c].to_numpy() for c in ("margin_lp", "exact_margin", "gamma_bound"))
    with np.errstate(invalid="ignore"):
        bad = (low > exact * (1 + 1e-6)) | (exact > high * (1 + 1e-6))
    if bad.any():
        problems.append(
            f"final: the certified gap does not bracket the exact margin in {_some(final['cell_id'][bad])}"
            "; the reference or the run is wrong"
        )


def _one_content(cells: list[dict], final: pd.DataFrame, problems: list[str]) -> None:
    """Cells of one data condition and seed are compared with each other: they must have trained on the same numbers."""
    contents_by_key: dict[str, dict[str, list[str]]] = {}
    content = dict(zip(final["cell_id"], final["data_sha256"], strict=True))
    for cell in cells:
        if digest := content.get(cell["cell_id"]):
            key = Cell(cell["config"], cell["cell_id"], "").data_key
            contents_by_key.setdefault(key, {}).setdefault(digest, []).append(cell["cell_id"])
    for contents in contents_by_key.values():
        if len(contents) > 1:
            each = "; ".join(f"sha256 {digest[:8]}: {_some(ids)}" for digest, ids in contents.items())
            problems.append(
                f"final: cells of one data set and seed were trained on different data ({each}); "
                "do not compare them, train them again (--rerun all)"
            )


def _history(
    history: pd.DataFrame | None, known: set[str], inseparable: set[str], user_metrics: list[str], problems: list[str]
) -> pd.DataFrame:
    columns = list(HISTORY) + [c for c in user_metrics if history is not None and c in history]
    if history is None or "cell_id" not in history or "epoch" not in history:
        if history is not None and len(history):
            problems.append("history: no columns cell_id and epoch; no curves are drawn")
        return pd.DataFrame(
            {"cell_id": pd.Series(dtype=object)} | {c: pd.Series(dtype=float) for c in ["epoch", *columns]}
        )
    names = history["cell_id"].astype("category")
    strange = [c for c in names.cat.categories if str(c) not in known]
    keep = ~names.isin(strange).to_numpy()
    if strange:
        problems.append(f"history: {_some(strange)} not in the manifest; left out")
    history, names = history[keep].reset_index(drop=True), names[keep].reset_index(drop=True)
    numbers = _numbers(history, ["epoch", *columns], "history", problems if len(history) else [])
    out = pd.concat([names.rename("cell_id"), numbers], axis=1)
    _ranges(out, columns, "history", problems)
    twice = out.duplicated(["cell_id", "epoch"])
    if twice.any():
        problems.append(f"history: {int(twice.sum())} rows repeat an epoch of their cell; the first is used")
        out = out[~twice]
    if inseparable:
        out.loc[out["cell_id"].isin(inseparable), [c for c in SEPARABLE_ONLY if c in out]] = np.nan
    return out
