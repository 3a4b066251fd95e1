"""Public data sets and their loaders; importing this module loads no heavy package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Remote(NamedTuple):
    """A file that can be downloaded.

    Attributes
    ----------
    url : str
        Address of the file.
    name : str
        Name of the local file. An archive is unpacked into a folder of this name without suffix.
    checksum : str or None
        ``md5:...`` or ``sha256:...``; None if the authors publish no checksum.
    """

    url: str
    name: str
    checksum: str | None = None


class Dataset(NamedTuple):
    """Entry of a public data set.

    Attributes
    ----------
    title : str
        Name that the authors use.
    images, classes : int
        Numbers of images and classes, as published.
    patients : str
        Number of patients, and whether the files name the patient of an image.
    licence : str
        Licence or terms of use.
    where : str
        Address of the page of the authors.
    loader : str
        ``"module:function"`` that lists the images; empty for a data set without images.
    files : tuple of Remote
        Files that `download` fetches; empty if they require a login.
    record : str
        Address of a record that lists files and checksums, instead of `files`.
    how : str
        Instructions for data sets that cannot be downloaded automatically.
    """

    title: str
    images: int
    classes: int
    patients: str
    licence: str
    where: str
    loader: str = ""
    files: tuple[Remote, ...] = ()
    record: str = ""
    how: str = ""

    @property
    def downloadable(self) -> bool:
        """True if `download` can fetch the files."""
        return bool(self.files or self.record)


_MEDMNIST = "https://zenodo.org/records/10519652/files/"
_WBCATT = (
    "https://raw.githubusercontent.com/apple2373/wbcatt/3121eea24a0977184bbedcb61b90f7a528f7b4e9/"
)

DATASETS: dict[str, Dataset] = {
    "all_idb1": Dataset(
        "ALL-IDB1",
        images=108,
        classes=2,
        patients="not named",
        licence="on request, research only",
        where="https://scotti.di.unimi.it/all/",
        loader="hemafeat.datasets._loaders.all_idb:all_idb1",
        how="ask its authors by e-mail for access, then unpack ALL_IDB1 (im/, xyc/)",
    ),
    "all_idb2": Dataset(
        "ALL-IDB2",
        images=260,
        classes=2,
        patients="not named",
        licence="on request, research only",
        where="https://scotti.di.unimi.it/all/",
        loader="hemafeat.datasets._loaders.all_idb:all_idb2",
        how="ask its authors by e-mail for access, then unpack ALL_IDB2 (img/)",
    ),
    "aml_hehr": Dataset(
        "AML-Cytomorphology_MLL_Helmholtz",
        images=101_949,
        classes=5,
        patients="189, named",
        licence="see its page",
        where="https://doi.org/10.7937/6ppe-4020",
        loader="hemafeat.datasets._loaders.aml_hehr:aml_hehr",
        how="The Cancer Imaging Archive distributes it through its Aspera client; unpack "
        "metadata.csv and data/ side by side",
    ),
    "aml_lmu": Dataset(
        "AML-Cytomorphology_LMU",
        images=18_365,
        classes=15,
        patients="200, not named",
        licence="CC BY 3.0",
        where="https://doi.org/10.7937/tcia.2019.36f5o9ld",
        loader="hemafeat.datasets._loaders.aml_lmu:aml_lmu",
        how="The Cancer Imaging Archive distributes it through its Aspera client; unpack "
        "AML-Cytomorphology/ and annotations.dat side by side",
    ),
    "apl": Dataset(
        "Acute promyelocytic leukaemia (Kaggle)",
        images=25_915,
        classes=20,
        patients="106, named",
        licence="see its page",
        where="https://www.kaggle.com/datasets/eugeneshenderov/acute-promyelocytic-leukemia-apl",
        loader="hemafeat.datasets._loaders.apl:apl",
        how="log in at Kaggle, then: kaggle datasets download "
        "eugeneshenderov/acute-promyelocytic-leukemia-apl --unzip",
    ),
    "bccd": Dataset(
        "BCCD",
        images=364,
        classes=5,
        patients="not named",
        licence="MIT",
        where="https://github.com/Shenggan/BCCD_Dataset",
        loader="hemafeat.datasets._loaders.bccd:bccd",
        files=(
            Remote(
                "https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip",
                "BCCD_Dataset.zip",
            ),
        ),
    ),
    "bloodmnist": Dataset(
        "BloodMNIST (MedMNIST v2)",
        images=17_092,
        classes=8,
        patients="not named",
        licence="CC BY 4.0",
        where="https://medmnist.com",
        loader="hemafeat.datasets._loaders.bloodmnist:bloodmnist",
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
    "cnmc": Dataset(
        "C-NMC 2019",
        images=15_114,
        classes=2,
        patients="118, 101 named",
        licence="CC BY 3.0",
        where="https://doi.org/10.7937/tcia.2019.dc64i46r",
        loader="hemafeat.datasets._loaders.cnmc:cnmc",
        how="The Cancer Imaging Archive distributes it through its Aspera client; a copy is at "
        "Kaggle, for which log in there, then: kaggle datasets download "
        "andrewmvd/leukemia-classification --unzip",
    ),
    "lisc": Dataset(
        "LISC",
        images=400,
        classes=5,
        patients="8, not named",
        licence="research and education, no redistribution",
        where="http://users.cecs.anu.edu.au/~hrezatofighi/Data/Leukocyte%20Data.htm",
        loader="hemafeat.datasets._loaders.lisc:lisc",
        files=(
            Remote(
                "http://users.cecs.anu.edu.au/~hrezatofighi/Data/LISC%20Database.zip",
                "LISC Database.zip",
            ),
        ),
    ),
    "lymphocytosis": Dataset(
        "Lymphocytosis (MVA DLMI challenge, Lyon Sud)",
        images=16_711,
        classes=2,
        patients="205, named",
        licence="unclear, no redistribution",
        where="https://www.kaggle.com/competitions/dlmi-lymphocytosis-classification",
        loader="hemafeat.datasets._loaders.lymphocytosis:lymphocytosis",
        how="join the course's competition at Kaggle, then unpack trainset/, testset/ and "
        "clinical_annotation.csv side by side",
    ),
    "mll23": Dataset(
        "MLL23",
        images=41_621,
        classes=18,
        patients="not named",
        licence="see its record",
        where="https://zenodo.org/records/14277609",
        loader="hemafeat.datasets._loaders.mll23:mll23",
        record="https://zenodo.org/api/records/14277609",
    ),
    "pbc": Dataset(
        "PBC (Acevedo et al. 2020)",
        images=17_092,
        classes=8,
        patients="not named",
        licence="CC BY 4.0",
        where="https://data.mendeley.com/datasets/snkd93bnjr/1",
        loader="hemafeat.datasets._loaders.pbc:pbc",
        files=(
            Remote(
                "https://data.mendeley.com/public-files/datasets/snkd93bnjr/files/"
                "2fc38728-2ae7-4a62-a857-032af82334c3/file_downloaded",
                "PBC_dataset_normal_DIB.zip",
            ),
        ),
    ),
    "raabin": Dataset(
        "Raabin-WBC, double-labelled cropped cells",
        images=16_633,
        classes=5,
        patients="not named",
        licence="free to use, no formal licence",
        where="https://raabindata.com/free-data/",
        loader="hemafeat.datasets._loaders.raabin:raabin",
        how="download Train.rar, TestA.rar and TestB.zip (Cropped_double_labeled) and unpack them "
        "side by side; hemafeat does not open RAR archives",
    ),
    "segwbc": Dataset(
        "segmentation_WBC",
        images=400,
        classes=5,
        patients="not named",
        licence="GPL-3.0",
        where="https://github.com/zxaoyou/segmentation_WBC",
        loader="hemafeat.datasets._loaders.segwbc:segwbc",
        files=(
            Remote(
                "https://github.com/zxaoyou/segmentation_WBC/archive/refs/heads/master.zip",
                "segmentation_WBC.zip",
            ),
        ),
    ),
    "wbcatt": Dataset(
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
"""Name and entry of each public data set: the only place that help, loaders, downloads and
documentation read."""


class _Loaders(Mapping[str, "Callable[..., pd.DataFrame]"]):
    """Loaders by name; the module of a loader is imported when it is looked up."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths

    def __getitem__(self, name: str) -> Callable[..., pd.DataFrame]:
        module, _, function = self._paths[name].partition(":")
        loader: Callable[..., pd.DataFrame] = getattr(import_module(module), function)
        return loader

    def __contains__(self, name: object) -> bool:
        return name in self._paths  # without importing the loader

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"<loaders: {', '.join(self)}>"


LOADERS: Mapping[str, Callable[..., pd.DataFrame]] = _Loaders(
    {"folder": "hemafeat.datasets._table:from_folder"}
    | {name: entry.loader for name, entry in DATASETS.items() if entry.loader}
)
"""Name of each data set that `load` accepts, and its loader: a function of the folder that returns
an image table."""


def load(name: str, root: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
    """List the images of a data set by its name.

    Parameters
    ----------
    name : str
        Key of `LOADERS`: a public data set, or ``"folder"`` for `from_folder`.
    root : path
        Folder that holds the data set.
    **options
        Further arguments of the loader.

    Returns
    -------
    DataFrame
        An image table; see `as_table`.

    Raises
    ------
    DatasetError
        Raised if the name is unknown, or if `root` does not hold the data set.

    Examples
    --------
    >>> from pathlib import Path
    >>> import cv2
    >>> from hemafeat import datasets
    >>> Path("PBC/neutrophil").mkdir(parents=True)
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> cv2.imwrite("PBC/neutrophil/BNE_1.jpg", cell.image[:, :, ::-1])
    True
    >>> datasets.load("pbc", "PBC")[["label", "sublabel"]]
            label sublabel
    0  neutrophil      BNE
    """
    if name not in LOADERS:
        from hemafeat._words import suggestion
        from hemafeat.datasets._schema import DatasetError

        raise DatasetError(f"unknown data set {name!r}; {suggestion(name, LOADERS, 'available:')}")
    return LOADERS[name](root, **options)
