"""An audit as one self-contained page, and as a section of the page of a comparison."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat.report._audit_figures import figure_batches, figure_probes
from hemafeat.report._galleries import Group, Tile, jpeg, picture
from hemafeat.report._style import number, svg
from hemafeat.report._tables import Entry, Table

if TYPE_CHECKING:
    from hemafeat.datasets import Audit
    from hemafeat.evaluate import Probes

PAIRS = 24
"""Pairs of copies that are shown at most."""


def audit_page(
    audit: Audit,
    out: str | os.PathLike[str],
    *,
    probes: Probes | None = None,
    title: str | None = None,
    command: str | None = None,
    date: str | None = None,
) -> Path:
    """Write an audit as one self-contained HTML file.

    Parameters
    ----------
    audit : Audit
        From `hemafeat.datasets.audit`.
    out : path
        The file to write, or a folder, which then gets ``audit.html``. Missing folders are made.
    probes : Probes, optional
        From `hemafeat.evaluate.leak_probes`.
    title, command, date : str, optional
        Heading of the page, the command that made it, and a date: shown as given.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OSError
        The file cannot be written. Images that cannot be read do not raise.
    """
    from hemafeat import __version__
    from hemafeat.report._html import template, write_page

    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        path = path / "audit.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs, n_pairs = _pairs(audit)
    content = _section(audit, probes)
    content |= {
        "verdict": _verdict(content),
        "alarms": _alarms(audit, probes),
        "facts": _facts(audit),
        "pairs": pairs,
        "n_pairs": n_pairs,
        "batches": _batches(audit),
        "classes": _classes(audit),
        "probe_table": None if probes is None else _probe_table(probes),
    }
    made = f"hemafeat {__version__}, python {platform.python_version()}"
    text = template("_audit.html.j2").render(
        title=title or "Audit of a data set",
        audit=content,
        provenance=[("Images", str(len(audit.table))), ("Page made with", made)],
        command=command,
        date=date,
    )
    write_page(path, text)
    return path


def section(audit: Audit | None, probes: Probes | None) -> dict[str, Any] | None:
    """What the page of a comparison shows of an audit; None where there is none."""
    return None if audit is None and probes is None else _section(audit, probes)


def _section(audit: Audit | None, probes: Probes | None) -> dict[str, Any]:
    from hemafeat.report._html import Picture

    rows = [] if audit is None else list(audit.findings.itertuples(index=False))
    found = [
        (str(row.severity), str(row.kind), str(row.message), int(str(row.n_images))) for row in rows
    ]
    if probes is not None:
        # All together says nothing that one of them does not.
        told = probes.results[
            (probes.results["severity"] != "") & (probes.results["kind"] != "all")
        ]
        found += [
            (str(row.severity), "leak probe", str(row.message), int(str(row.n)))
            for row in told.itertuples(index=False)
        ]
    order = ("severe", "warning", "note")
    found.sort(key=lambda row: order.index(row[0]))
    drawn = None
    if probes is not None:
        said = ", ".join(
            f"{name} {number(value)}"
            for name, value in zip(
                probes.results["probe"][:5], probes.results["value"][:5], strict=True
            )
        )
        drawn = Picture(svg(figure_probes(probes), "probes", f"Leak probes. Most telling: {said}"))
    severities = [row[0] for row in found]
    head = [Entry("Severity"), Entry("Kind"), Entry("What was found"), Entry("Images")]
    lines = [
        [Entry(severity), Entry(kind.replace("_", " ")), Entry(message), Entry(str(n) if n else "")]
        for severity, kind, message, n in found
    ]
    muted = {place for place, severity in enumerate(severities) if severity == "note"}
    return {
        "findings": Table(head, lines, 3, muted),
        "severe": severities.count("severe"),
        "warnings": severities.count("warning"),
        "probes": drawn,
        "protocol": "" if probes is None else probes.protocol,
    }


def _verdict(content: dict[str, Any]) -> str:
    if content["severe"]:
        return "Scores on these data mean little until what is severe has been dealt with."
    if content["warnings"]:
        return "Nothing severe was found; the warnings say what to watch."
    return "Nothing was found that would make scores on these data too good."


def _alarms(audit: Audit, probes: Probes | None) -> list[str]:
    found = [str(message) for message in audit.severe["message"]]
    if probes is not None:
        found += [str(message) for message in probes.severe["message"]]
    return [message[:1].upper() + message[1:] + "." for message in found]


def _facts(audit: Audit) -> list[tuple[str, str]]:
    table = audit.table
    found = [(_count(len(table)), "images"), (_count(len(audit.classes)), "classes")]
    patients = table["patient"].nunique()
    found.append((_count(patients) if patients else "–", "patients known"))
    found.append((_count(int(audit.images["problem"].notna().sum())), "not readable"))
    found.append((_count(len(audit.duplicates)), "equal images"))
    found.append((_count(len(audit.near_duplicates)), "near-duplicate pairs"))
    return found


def _count(n: int) -> str:
    return f"{n:,}".replace(",", "\N{THIN SPACE}")


def _pairs(audit: Audit) -> tuple[list[Group], int]:
    found = []
    for _, cluster in audit.duplicates.groupby("cluster"):
        rows = list(cluster["row"])
        how = "equal files" if (cluster["same"] == "bytes").all() else "equal pixels"
        apart = len(set(cluster["label"].dropna())) > 1 or len(set(cluster["split"].dropna())) > 1
        found += [(not apart, how, rows[0], row) for row in rows[1:]]
    for row in audit.near_duplicates.itertuples(index=False):
        apart = _differ(row.label_a, row.label_b) or _differ(row.split_a, row.split_b)
        found.append((not apart, _how(row), row.a, row.b))
    found.sort(key=lambda pair: pair[0])
    groups = []
    for _, how, a, b in found[:PAIRS]:
        groups.append(Group(how, [_tile(audit, row) for row in (a, b)], 2))
    return groups, len(found)


def _differ(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one != other


def _how(row: Any) -> str:
    words = [f"similarity {row.similarity:.2f}"]
    if row.mirrored:
        words.append("mirrored")
    if row.turn:
        words.append(f"turned {90 * row.turn}°")
    if row.scale < 1:
        words.append(f"cropped to {100 * row.scale:.0f} %")
    return ", ".join(words)


def _tile(audit: Audit, row: int) -> Tile:
    from hemafeat.images import read

    record = audit.table.iloc[row]
    label = record["label"] if isinstance(record["label"], str) else "no label"
    lines = [
        f"{name} {record[name]}" for name in ("patient", "split") if isinstance(record[name], str)
    ]
    name = str(audit.images["image"].iloc[row])
    alt = f"image of class {label}"
    try:
        return Tile(alt, label, lines, name, jpeg(picture(read(record["image"]), None)))
    except Exception as error:
        # An image gone since then must not cost the page.
        return Tile(alt, label, lines, name, "", f"no picture: {str(error)[:120]}")


def _batches(audit: Audit) -> Any:
    from hemafeat.report._html import Picture

    if audit.batches.empty:
        return None
    said = ", ".join(map(str, dict.fromkeys(audit.batches["batch"])))
    return Picture(svg(figure_batches(audit), "batches", f"Shares of labels by batch: {said}"))


def _classes(audit: Audit) -> Table:
    total = max(1, int(audit.classes["images"].sum()))
    rows = [
        [
            Entry(str(row.label)),
            Entry(str(row.images)),
            Entry(f"{100 * int(str(row.images)) / total:.1f} %"),
            Entry(str(row.groups)),
            Entry(str(row.patients) if row.patients else "–"),
        ]
        for row in audit.classes.itertuples(index=False)
    ]
    return Table([Entry(n) for n in ("Class", "Images", "Share", "Groups", "Patients")], rows)


def _probe_table(probes: Probes) -> Table:
    rows, muted = [], set()
    for place, row in enumerate(probes.results.to_dict("records")):
        interval = f"{number(row['low'])} to {number(row['high'])}"
        rows.append(
            [
                Entry(str(row["probe"]), f"per {row['level']}"),
                Entry(str(row["severity"]) or "–"),
                Entry(number(row["value"]), interval if row["kind"] != "baseline" else ""),
                Entry(number(row["chance"])),
                Entry(number(row["p_holm"])),
                Entry(str(row["n_groups"])),
            ]
        )
        if row["kind"] == "baseline":
            muted.add(place)
    head = [Entry("Probe"), Entry("Severity"), Entry("Balanced accuracy"), Entry("By chance")]
    return Table([*head, Entry("p", "corrected"), Entry("Groups")], rows, 2, muted)
