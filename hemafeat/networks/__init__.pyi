from ._bag_training import BagNetwork as BagNetwork, fit_bags as fit_bags, pad_bags as pad_bags
from ._mil import POOLINGS as POOLINGS, mil_model as mil_model, pool as pool
