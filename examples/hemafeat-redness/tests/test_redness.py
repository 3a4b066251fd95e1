import numpy as np

from hemafeat.testing import check_family
from hemafeat_redness import redness


def test_contract():
    check_family(redness)


def test_halves_of_known_colour():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (120, 60, 60)  # R / (R + G + B) = 0.5, and red leads
    image[2:] = (50, 75, 75)  # 0.25, and it does not
    labels = np.ones((4, 4), np.int32)
    labels[:, 3] = 3
    values = redness(image, labels, 3)
    np.testing.assert_allclose(values[[0, 2]], [[0.375, 0.5], [0.375, 0.5]], rtol=1e-15)
    assert np.isnan(values[1]).all()
