"""Audit of a data set as a self-contained page, and as a section of the page of a comparison."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._machine import versions
from hemafeat.images import read
from hemafeat.report._audit.figures import figure_batches, figure_probes
from hemafeat.report._galleries import Group, Tile, jpeg, picture
from hemafeat.report._html import Picture, render, svg, target
from hemafeat.report._style import count, listed, number
from hemafeat.report._tables import Entry, Table

if TYPE_CHECKING:
    from hemafeat.datasets import Audit
    from hemafeat.evaluate import Probes

PAIRS = 24
"""Greatest number of pairs of copies that are shown."""


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
        Result of `hemafeat.datasets.audit`.
    out : path
        File to write, or a folder for a file ``audit.html``. Missing folders are created.
    probes : Probes, optional
        Result of `hemafeat.evaluate.leak_probes`, shown as well.
    title : str, optional
        Heading of the page.
    command, date : str, optional
        Command that made the audit, and a date: shown as they are.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OSError
        If the file cannot be written. Images that cannot be read do not raise.

    Examples
    --------
    >>> from hemafeat import datasets, report
    >>> table = datasets.drawn("cells", 8, kinds=["lymphocyte", "monocyte"], progress=False)
    >>> audit = datasets.audit(table, progress=False)
    >>> report.audit_page(audit, "audit.html", title="Drawn cells").name
    'audit.html'
    """
    pairs, n_pairs = _pairs(audit)
    content = _section(audit, probes)
    content |= {
        "verdict": _verdict(content),
        "facts": _facts(audit),
        "pairs": pairs,
        "n_pairs": n_pairs,
        "batches": _batches(audit),
        "classes": _classes(audit),
        "probe_table": None if probes is None else _probe_table(probes),
    }
    return render(
        target(out, "audit.html"),
        "_audit.html.j2",
        {
            "title": title or "Audit of a data set",
            "audit": content,
            "provenance": [
                ("Images", str(len(audit.table))),
                ("Page made with", listed(versions(()))),
            ],
            "command": command,
            "date": date,
        },
    )


def audit_section(audit: Audit | None, probes: Probes | None) -> dict[str, Any] | None:
    """Return the audit section of the page of a comparison, or None without audit and probes."""
    return None if audit is None and probes is None else _section(audit, probes)


def _section(audit: Audit | None, probes: Probes | None) -> dict[str, Any]:
    """Return findings and probes, the severe ones first."""
    if audit is not None:
        frame = (audit if probes is None else audit.with_probes(probes)).findings
    else:
        assert probes is not None
        frame = probes.findings.assign(kind="leak_probe", n_images=0, advice="")
    findings = [
        (*(str(row[name]) for name in ("severity", "kind", "message", "advice")), row["n_images"])
        for row in frame.to_dict("records")
    ]
    drawn = None
    if probes is not None:
        top = probes.results.head(5)
        text = ", ".join(
            f"{name} {number(value)}"
            for name, value in zip(top["probe"], top["value"], strict=True)
        )
        alt = f"Leak probes. Most predictive: {text}"
        drawn = Picture(svg(figure_probes(probes), "probes", alt))
    order = ("severe", "warning", "note")
    findings.sort(key=lambda row: order.index(row[0]))
    severities = [row[0] for row in findings]
    head = [Entry("Severity"), Entry("Kind"), Entry("Finding"), Entry("Images")]
    lines = [
        [
            Entry(severity),
            Entry(kind.replace("_", " ")),
            Entry(message, f"What to do: {advice}." if advice else ""),
            Entry(str(n) if n else ""),
        ]
        for severity, kind, message, advice, n in findings
    ]
    muted = {k for k, severity in enumerate(severities) if severity == "note"}
    return {
        "findings": Table(head, lines, 3, muted),
        "severe": severities.count("severe"),
        "alarms": [
            message[:1].upper() + message[1:] + "."
            for severity, _, message, _, _ in findings
            if severity == "severe"
        ],
        "warnings": severities.count("warning"),
        "probes": drawn,
        "protocol": "" if probes is None else probes.protocol,
    }


def _verdict(content: dict[str, Any]) -> str:
    if content["severe"]:
        return "Scores on these data mean little until the severe findings are resolved."
    if content["warnings"]:
        return "No severe finding; see the warnings."
    return "Nothing was found that would inflate scores on these data."


def _facts(audit: Audit) -> list[tuple[str, str]]:
    patients = audit.table["patient"].nunique()
    return [
        (count(len(audit.table)), "images"),
        (count(len(audit.classes)), "classes"),
        (count(patients) if patients else "–", "patients known"),
        (count(int(audit.images["problem"].notna().sum())), "not readable"),
        (count(len(audit.duplicates)), "identical images"),
        (count(len(audit.near_duplicates)), "near-duplicate pairs"),
    ]


def _pairs(audit: Audit) -> tuple[list[Group], int]:
    """Return pairs of copies, those with different labels or parts first, and their number."""
    pairs = []
    for _, cluster in audit.duplicates.groupby("cluster"):
        rows = list(cluster["row"])
        relation = "identical files" if (cluster["same"] == "bytes").all() else "identical pixels"
        differ = len(set(cluster["label"].dropna())) > 1 or len(set(cluster["split"].dropna())) > 1
        pairs += [(not differ, relation, rows[0], row) for row in rows[1:]]
    for row in audit.near_duplicates.itertuples(index=False):
        differ = _differ(row.label_a, row.label_b) or _differ(row.split_a, row.split_b)
        pairs.append((not differ, _relation(row), row.a, row.b))
    pairs.sort(key=lambda pair: pair[0])
    groups = [
        Group(relation, [_tile(audit, row) for row in (a, b)], 2)
        for _, relation, a, b in pairs[:PAIRS]
    ]
    return groups, len(pairs)


def _differ(a: Any, b: Any) -> bool:
    return isinstance(a, str) and isinstance(b, str) and a != b


def _relation(row: Any) -> str:
    """Describe the similarity of a pair of near-duplicates."""
    words = [f"similarity {row.similarity:.2f}"]
    if row.mirrored:
        words.append("mirrored")
    if row.turn:
        words.append(f"rotated by {90 * row.turn}°")
    if row.scale < 1:
        words.append(f"cropped to {100 * row.scale:.0f} %")
    return ", ".join(words)


def _tile(audit: Audit, row: int) -> Tile:
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
        # An image that has been removed since then must not prevent the page.
        return Tile(alt, label, lines, name, "", f"no picture: {str(error)[:120]}")


def _batches(audit: Audit) -> Any:
    if audit.batches.empty:
        return None
    text = ", ".join(map(str, dict.fromkeys(audit.batches["batch"])))
    return Picture(svg(figure_batches(audit), "batches", f"Shares of labels by batch: {text}"))


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
    for k, row in enumerate(probes.results.to_dict("records")):
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
            muted.add(k)
    head = [Entry("Probe"), Entry("Severity"), Entry("Balanced accuracy"), Entry("By chance")]
    return Table([*head, Entry("p", "corrected"), Entry("Groups")], rows, 2, muted)
