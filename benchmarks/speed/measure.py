"""Time all registered peers on the same images, in turns; one row of a table for each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pandas as pd
from cells import Cell
from ours import NoFamily
from peers import GROUPS, REGISTER, Peer, Values, agreement, reason
from timing import ratios, summary, time_in_turns

DECODE = "cv2.imdecode"


def select_peers(groups: Iterable[str] | None, tools: Iterable[str] | None) -> list[Peer]:
    """Return the peers of these groups and tools, and ours, in the order of the groups."""
    names = list(GROUPS) if groups is None else list(groups)
    only = None if tools is None else {"hemafeat", *tools}
    return [
        peer
        for group in GROUPS
        if group in names
        for peer in REGISTER
        if peer.group == group and (only is None or peer.tool in only)
    ]


def compare(cells: list[Cell], peers: list[Peer], rounds: int, budget: float) -> pd.DataFrame:
    """Return the ms, ratios and agreement of every peer; see `GROUPS`."""
    visits: list[dict[Any, Callable[[], object]]] = [
        {DECODE: lambda cell=cell: cv2.imdecode(cell.data, cv2.IMREAD_COLOR)} for cell in cells
    ]
    status: dict[int, str] = {}
    widths: dict[int, int] = {}
    values: dict[int, list[Values]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, peer in enumerate(peers):
            _show_progress(f"{index + 1}/{len(peers)} {peer.group}: {peer.name}")
            try:
                ready = [_ready(peer, cell) for cell in cells]
            except NoFamily as error:
                status[index] = str(error)
                continue
            except Exception as error:  # a peer that fails is a row of the table
                status[index] = reason(error)
                continue
            for visit, (call, width, result) in zip(visits, ready, strict=True):
                visit[index] = call
                widths[index] = width
                values.setdefault(index, []).append(result)
        _show_progress("timing")
        times = time_in_turns(visits, rounds, budget)
        _show_progress("")
    rows = [_decode_row(times[DECODE])]
    for index, peer in enumerate(peers):
        row = {
            "group": peer.group,
            "name": peer.name,
            "ours": peer.ours,
            "columns": widths.get(index),
            "note": peer.note,
            "status": status.get(index, "measured"),
        }
        if index in times:
            row |= summary(times[index], times[DECODE])
            first = _ours(peers, times, peer.group)
            if first is not None:
                row["of_ours"] = float(np.median(ratios(times[index], times[first])))
        if index in values and not peer.ours:
            row["agreement"] = _agreement(peers, values, index)
        rows.append(row)
    order = ["group", "name", "ours", "columns", "ms", "ms_q1", "ms_q3", "decodes", "of_ours"]
    order += ["times", "agreement", "note", "status"]
    return pd.DataFrame(rows).reindex(columns=order)


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}".ljust(78) + "\r")


def _ready(peer: Peer, cell: Cell) -> tuple[Callable[[], Any], int, Values]:
    work = peer.prepare(cell)
    result = work.call()
    return work.call, work.width(result), work.values(result)


def _decode_row(times: list[tuple[int, float]]) -> dict[str, Any]:
    row = {"group": "decode", "name": DECODE, "ours": False, "status": "measured"}
    return row | summary(times, times)


def _ours(peers: list[Peer], times: dict, group: str) -> int | None:
    for index, peer in enumerate(peers):
        if peer.ours and peer.group == group and index in times:
            return index
    return None


def _agreement(peers: list[Peer], values: dict[int, list[Values]], index: int) -> str:
    """Compare the values of a peer with ours over all cells."""
    ours: list[dict[str, Any]] = [{} for _ in values[index]]
    for other, peer in enumerate(peers):
        if peer.ours and peer.group == peers[index].group and other in values:
            for row, result in zip(ours, values[other], strict=True):
                row |= result
    if not any(
        peer.group == peers[index].group and peer.ours and k in values
        for k, peer in enumerate(peers)
    ):
        return ""
    return agreement(_side_by_side(ours), _side_by_side(values[index]))


def _side_by_side(rows: list[Values]) -> dict[str, np.ndarray]:
    names = set(rows[0]).intersection(*rows[1:]) if rows else set()
    joined = {}
    for name in rows[0] if rows else ():
        if name in names:
            # Arrays of different sizes (codes of images) are joined as flat arrays.
            with suppress(TypeError, ValueError):
                joined[name] = np.concatenate([np.ravel(row[name]) for row in rows])
    return joined


def format_table(table: pd.DataFrame) -> str:
    """Format the table as text, one block for each group."""
    parts = []
    for group, rows in table.groupby("group", sort=False):
        rows = rows.sort_values("ms", na_position="last")
        lines = [GROUPS.get(str(group), str(group))]
        for row in rows.itertuples():
            name = f"{'*' if row.ours else ' '} {row.name}"
            if row.status != "measured":
                lines.append(f"{name:<38} {row.status}")
                continue
            columns = "" if pd.isna(row.columns) else f"{int(row.columns):5d}"
            ours = "" if pd.isna(row.of_ours) else f"{row.of_ours:8.2f}"
            words = ", ".join(
                word for word in (row.agreement, row.note) if isinstance(word, str) and word
            )
            lines.append(
                f"{name:<38} {columns:>5} {row.ms:9.3f} [{row.ms_q1:.3f}, {row.ms_q3:.3f}]".ljust(
                    74
                )
                + f" {row.decodes:8.2f} {ours:>8}  {words}"
            )
        parts.append("\n".join(lines))
    head = (
        "  name".ljust(39)
        + "columns    ms [quartiles]".ljust(36)
        + " decodes  x ours  agreement, notes"
    )
    return head + "\n\n" + "\n\n".join(parts)
