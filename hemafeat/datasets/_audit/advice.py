"""Say what to do about each kind of finding, in Python and on the command line."""

from __future__ import annotations

_NOT_THE_SPLIT = (
    "do not score on the official split: protocol='grouped' (--protocol grouped), the default, "
    "makes another"
)
_ONE_SIDE = "keep copies on one side: group_duplicates(table, by={by!r}) merges their groups"
_BATCH = (
    "score each batch by models of the others (protocol='leave-one-batch-out', --protocol "
    "leave-one-batch-out --batch COLUMN), or compare images of one batch only"
)

_COPIES = {
    "": "{side}",
    "_label": "look at them: one of the labels is wrong. Correct it, or leave both out by "
    "drop({kind!r}) (on the command line by --edits)",
    "_split": "{side}, and do not score on the official split",
    "_patient": "find out whose cell it is, and leave the other image out; until then {side}",
}

ADVICE = {
    "unreadable": "get these files again, or leave them out by drop('unreadable')",
    "header": "if most of them are of one class, their origin may be another: look at image_size, "
    "background and the probe of the file format",
    "jfif": "if most of them are of one class, their origin may be another; drop('jfif') leaves "
    "them out",
    "blank": "leave them out by drop('blank')",
    **{
        f"{base}{ending}": text.format(kind=base + ending, side=_ONE_SIDE.format(by=by))
        for base, by in (("duplicate", "pixels"), ("near_duplicate", "near"))
        for ending, text in _COPIES.items()
    },
    "name": "look at them: one of the labels may be wrong, or the folders number their files alike",
    "labels": "label them by a folder for each class or a column, named by label= (--label); "
    "images without a label are measured, but not compared",
    "spelling": "write the label in one way in the image table, or name the folders alike",
    "balance": "read balanced accuracy and the scores of each class, not accuracy",
    "few_groups": "merge these classes with others, leave them out by rare='drop' (--rare drop), "
    "or divide into fewer folds by n_splits= (--folds)",
    "patients": "add a column patient to the image table, if anyone knows the patients; groups= "
    "(--group) takes a slide or a day as well",
    "patient_split": _NOT_THE_SPLIT,
    "group_split": _NOT_THE_SPLIT,
    "single_class": "never divide a patient: protocol='patient' (--protocol patient), and rank by "
    "scores of whole patients, level='patient' (--level patient)",
    "image_size": f"cut or pad images to one size before a network sees them, and {_BATCH}",
    "background": "normalise the colours by normalise='reinhard' (--normalise reinhard), and "
    + _BATCH,
    "batch": _BATCH,
    "marks": "paint the marks over or cut them off, or leave these images out by drop('marks')",
    "scale": "state the right um_per_px of each data set, as a column of the image table or by "
    "um_per_px= (--um-per-px)",
    "leak_probe": "remove what predicts the label, or rank models only by how far they exceed this "
    "score; metadata= (--metadata COLUMN) sets a model of a column beside them",
}
"""What to do about a finding of each kind. Python calls are of `Audit` and `hemafeat.evaluate`."""

_NOTES = {
    **dict.fromkeys(
        ("image_size", "background", "leak_probe"),
        "nothing, unless models turn out to be hardly better than this",
    ),
    **dict.fromkeys(("duplicate", "near_duplicate"), "nothing: no split separates them"),
    "scale": "where none is stated, pass this one or 'auto' as um_per_px= (--um-per-px)",
    "marks": "nothing, if the marks lie beside the cells",
}
"""The same for findings that are only a note, where it differs."""


def advise(kind: str, severity: str) -> str:
    """Return what to do about a finding, in a clause without a full stop."""
    return (_NOTES.get(kind) if severity == "note" else None) or ADVICE[kind]
