"""Where each public data set comes from, and what is known of it before it is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hemafeat.datasets._schema import DatasetError, contents


class Remote(NamedTuple):
    """A file that can be downloaded.

    Attributes
    ----------
    url : str
    name : str
        What it is called here; archives are unpacked into a folder of that name.
    checksum : str or None
        ``md5:...`` or ``sha256:...``; None where the authors publish none that is known here.
    """

    url: str
    name: str
    checksum: str | None = None


class Source(NamedTuple):
    """What is known of a data set.

    Attributes
    ----------
    title : str
    images, classes : int
        As published.
    patients : str
        How many, and whether images can be told apart by them.
    licence : str
    where : str
        The page of the authors.
    files : tuple of Remote
        What `download` fetches; empty where that is impossible.
    record : str
        Address that lists the files and their checksums, in place of `files`.
    how : str
        What to do by hand where nothing can be fetched.
    """

    title: str
    images: int
    classes: int
    patients: str
    licence: str
    where: str
    files: tuple[Remote, ...] = ()
    record: str = ""
    how: str = ""


_MEDMNIST = "https://zenodo.org/records/10519652/files/"
_WBCATT = (
    "https://raw.githubusercontent.com/apple2373/wbcatt/3121eea24a0977184bbedcb61b90f7a528f7b4e9/"
)

SOURCES: dict[str, Source] = {
    "all_idb1": Source(
        "ALL-IDB1",
        images=108,
        classes=2,
        patients="not named",
        licence="on request, research only",
        where="https://scotti.di.unimi.it/all/",
        how="ask its authors by e-mail for access, then unpack ALL_IDB1 (im/, xyc/)",
    ),
    "all_idb2": Source(
        "ALL-IDB2",
        images=260,
        classes=2,
        patients="not named",
        licence="on request, research only",
        where="https://scotti.di.unimi.it/all/",
        how="ask its authors by e-mail for access, then unpack ALL_IDB2 (img/)",
    ),
    "aml_hehr": Source(
        "AML-Cytomorphology_MLL_Helmholtz",
        images=101_949,
        classes=5,
        patients="189, named",
        licence="as its page says",
        where="https://doi.org/10.7937/6ppe-4020",
        how="The Cancer Imaging Archive gives it out through its own Aspera client: unpack "
        "metadata.csv and data/ side by side",
    ),
    "aml_lmu": Source(
        "AML-Cytomorphology_LMU",
        images=18_365,
        classes=15,
        patients="200, not named",
        licence="CC BY 3.0",
        where="https://doi.org/10.7937/tcia.2019.36f5o9ld",
        how="The Cancer Imaging Archive gives it out through its own Aspera client: unpack "
        "AML-Cytomorphology/ and annotations.dat side by side",
    ),
    "apl": Source(
        "Acute promyelocytic leukaemia (Kaggle)",
        images=25_915,
        classes=20,
        patients="106, named",
        licence="as its page says",
        where="https://www.kaggle.com/datasets/eugeneshenderov/acute-promyelocytic-leukemia-apl",
        how="log in at Kaggle, then: kaggle datasets download "
        "eugeneshenderov/acute-promyelocytic-leukemia-apl --unzip",
    ),
    "bccd": Source(
        "BCCD",
        images=364,
        classes=5,
        patients="not named",
        licence="MIT",
        where="https://github.com/Shenggan/BCCD_Dataset",
        files=(
            Remote(
                "https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip",
                "BCCD_Dataset.zip",
            ),
        ),
    ),
    "bloodmnist": Source(
        "BloodMNIST (MedMNIST v2)",
        images=17_092,
        classes=8,
        patients="not named",
        licence="CC BY 4.0",
        where="https://medmnist.com",
        files=(
            Remote(
                f"{_MEDMNIST}bloodmnist.npz?download=1",
                "bloodmnist.npz",
                "md5:7053d0359d879ad8a5505303e11de1dc",
            ),
            Remote(
                f"{_MEDMNIST}bloodmnist_64.npz?download=1",
                "bloodmnist_64.npz",
                "md5:2b94928a2ae4916078ca51e05b6b800b",
            ),
            Remote(
                f"{_MEDMNIST}bloodmnist_128.npz?download=1",
                "bloodmnist_128.npz",
                "md5:adace1e0ed228fccda1f39692059dd4c",
            ),
            Remote(
                f"{_MEDMNIST}bloodmnist_224.npz?download=1",
                "bloodmnist_224.npz",
                "md5:b718ff6835fcbdb22ba9eacccd7b2601",
            ),
        ),
    ),
    "cnmc": Source(
        "C-NMC 2019",
        images=15_114,
        classes=2,
        patients="118, 101 named",
        licence="CC BY 3.0",
        where="https://doi.org/10.7937/tcia.2019.dc64i46r",
        how="The Cancer Imaging Archive gives it out through its own Aspera client; a copy is at "
        "Kaggle, for which log in there, then: kaggle datasets download "
        "andrewmvd/leukemia-classification --unzip",
    ),
    "lisc": Source(
        "LISC",
        images=400,
        classes=5,
        patients="8, not named",
        licence="research and education, no redistribution",
        where="http://users.cecs.anu.edu.au/~hrezatofighi/Data/Leukocyte%20Data.htm",
        files=(
            Remote(
                "http://users.cecs.anu.edu.au/~hrezatofighi/Data/LISC%20Database.zip",
                "LISC Database.zip",
            ),
        ),
    ),
    "lymphocytosis": Source(
        "Lymphocytosis (MVA DLMI challenge, Lyon Sud)",
        images=16_711,
        classes=2,
        patients="205, named",
        licence="unclear, no redistribution",
        where="https://www.kaggle.com/competitions/dlmi-lymphocytosis-classification",
        how="join the course's competition at Kaggle, then unpack trainset/, testset/ and "
        "clinical_annotation.csv side by side",
    ),
    "mll23": Source(
        "MLL23",
        images=41_621,
        classes=18,
        patients="not named",
        licence="as its record says",
        where="https://zenodo.org/records/14277609",
        record="https://zenodo.org/api/records/14277609",
    ),
    "pbc": Source(
        "PBC (Acevedo et al. 2020)",
        images=17_092,
        classes=8,
        patients="not named",
        licence="CC BY 4.0",
        where="https://data.mendeley.com/datasets/snkd93bnjr/1",
        files=(
            Remote(
                "https://data.mendeley.com/public-files/datasets/snkd93bnjr/files/"
                "2fc38728-2ae7-4a62-a857-032af82334c3/file_downloaded",
                "PBC_dataset_normal_DIB.zip",
            ),
        ),
    ),
    "raabin": Source(
        "Raabin-WBC, double-labelled cropped cells",
        images=16_633,
        classes=5,
        patients="not named",
        licence="free to use, no formal licence",
        where="https://raabindata.com/free-data/",
        how="get Train.rar, TestA.rar and TestB.zip (Cropped_double_labeled) and unpack them side "
        "by side; nothing here opens RAR archives",
    ),
    "segwbc": Source(
        "segmentation_WBC",
        images=400,
        classes=5,
        patients="not named",
        licence="GPL-3.0",
        where="https://github.com/zxaoyou/segmentation_WBC",
        files=(
            Remote(
                "https://github.com/zxaoyou/segmentation_WBC/archive/refs/heads/master.zip",
                "segmentation_WBC.zip",
            ),
        ),
    ),
    "wbcatt": Source(
        "WBCAtt, attributes of PBC cells",
        images=10_298,
        classes=5,
        patients="not named",
        licence="MIT",
        where="https://github.com/apple2373/wbcatt",
        files=tuple(
            Remote(f"{_WBCATT}submission/{name}", name)
            for name in (
                "pbc_attr_v1_train.csv",
                "pbc_attr_v1_val.csv",
                "pbc_attr_v1_test.csv",
            )
        ),
    ),
}
"""Name of each public data set, and what is known of it."""


def catalogue() -> pd.DataFrame:
    """List the public data sets that are known here.

    Returns
    -------
    DataFrame
        One row per data set: ``name``, as `load` and `download` take it; ``title``; ``images`` and
        ``classes`` (int64, as published); ``patients``; ``licence``; ``download``, whether it can
        be fetched without a login; ``where``, the page of its authors. ``wbcatt`` has no images of
        its own: it is what ``pbc(attributes=...)`` takes.

    See Also
    --------
    download : Fetch one of them.
    """
    rows = [
        {
            "name": name,
            "title": source.title,
            "images": source.images,
            "classes": source.classes,
            "patients": source.patients,
            "licence": source.licence,
            "download": bool(source.files or source.record),
            "where": source.where,
        }
        for name, source in SOURCES.items()
    ]
    return pd.DataFrame(rows)


def wrong_folder(name: str, root: str | os.PathLike[str], expected: str) -> DatasetError:
    """The error for a folder that is not the data set `name`."""
    source = SOURCES[name]
    path = Path(root)
    found = contents(path) if path.is_dir() else path.name
    get = f"hemafeat download {name}" if source.files or source.record else source.how
    return DatasetError(
        f"{path} is not {source.title}: expected {expected}, found {found}. It is at "
        f"{source.where} ({source.licence}); {get}"
    )
