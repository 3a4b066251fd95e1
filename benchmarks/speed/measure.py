"""Everything that is entered, on the same images, in turns: one row of a table for each."""

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
from timing import in_turns, ratios, summary

DECODE = "cv2.imdecode"


def wanted(groups: Iterable[str] | None, tools: Iterable[str] | None) -> list[Peer]:
    """The entries of these groups and tools, in the order of the groups; ours always."""
    chosen = list(GROUPS) if groups is None else list(groups)
    only = None if tools is None else {"hemafeat", *tools}
    return [
        peer
        for group in GROUPS
        if group in chosen
        for peer in REGISTER
        if peer.group == group and (only is None or peer.tool in only)
    ]


def compared(cells: list[Cell], peers: list[Peer], rounds: int, budget: float) -> pd.DataFrame:
    """Milliseconds, ratios and agreement of every peer; see `GROUPS`."""
    visits: list[dict[Any, Callable[[], object]]] = [
        {DECODE: lambda cell=cell: cv2.imdecode(cell.data, cv2.IMREAD_COLOR)} for cell in cells
    ]
    status: dict[int, str] = {}
    widths: dict[int, int] = {}
    values: dict[int, list[Values]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place, peer in enumerate(peers):
            _say(f"{place + 1}/{len(peers)} {peer.group}: {peer.name}")
            try:
                ready = [_ready(peer, cell) for cell in cells]
            except NoFamily as error:
                status[place] = str(error)
                continue
            except Exception as error:  # a peer that fails is a row, not the end of the run
                status[place] = reason(error)
                continue
            for visit, (call, width, found) in zip(visits, ready, strict=True):
                visit[place] = call
                widths[place] = width
                values.setdefault(place, []).append(found)
        _say("timing")
        times = in_turns(visits, rounds, budget)
        _say("")
    rows = [_decode_row(times[DECODE])]
    for place, peer in enumerate(peers):
        row = {
            "group": peer.group,
            "name": peer.name,
            "ours": peer.ours,
            "columns": widths.get(place),
            "note": peer.note,
            "status": status.get(place, "measured"),
        }
        if place in times:
            row |= summary(times[place], times[DECODE])
            first = _ours(peers, times, peer.group)
            if first is not None:
                row["of_ours"] = float(np.median(ratios(times[place], times[first])))
        if place in values and not peer.ours:
            row["agreement"] = _agreement(peers, values, place)
        rows.append(row)
    order = ["group", "name", "ours", "columns", "ms", "ms_q1", "ms_q3", "decodes", "of_ours"]
    order += ["times", "agreement", "note", "status"]
    return pd.DataFrame(rows).reindex(columns=order)


def _say(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what}".ljust(78) + "\r")


def _ready(peer: Peer, cell: Cell) -> tuple[Callable[[], Any], int, Values]:
    work = peer.prepare(cell)
    result = work.call()
    return work.call, work.width(result), work.values(result)


def _decode_row(times: list[tuple[int, float]]) -> dict[str, Any]:
    row = {"group": "decode", "name": DECODE, "ours": False, "status": "measured"}
    return row | summary(times, times)


def _ours(peers: list[Peer], times: dict, group: str) -> int | None:
    for place, peer in enumerate(peers):
        if peer.ours and peer.group == group and place in times:
            return place
    return None


def _agreement(peers: list[Peer], values: dict[int, list[Values]], place: int) -> str:
    """Over all cells: of the names that peer and ours have, how far the numbers lie apart."""
    ours: list[dict[str, Any]] = [{} for _ in values[place]]
    for other, peer in enumerate(peers):
        if peer.ours and peer.group == peers[place].group and other in values:
            for row, found in zip(ours, values[other], strict=True):
                row |= found
    if not any(
        peer.group == peers[place].group and peer.ours and k in values
        for k, peer in enumerate(peers)
    ):
        return ""
    return agreement(_side_by_side(ours), _side_by_side(values[place]))


def _side_by_side(rows: list[Values]) -> dict[str, np.ndarray]:
    names = set(rows[0]).intersection(*rows[1:]) if rows else set()
    found = {}
    for name in rows[0] if rows else ():
        if name in names:
            # Arrays of different sizes (codes of images) are laid out one after the other.
            with suppress(TypeError, ValueError):
                found[name] = np.concatenate([np.ravel(row[name]) for row in rows])
    return found


def shown(table: pd.DataFrame) -> str:
    """The tables as text, one for each group."""
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
