from ._architectures import (
    ARCHITECTURES as ARCHITECTURES,
    Architecture as Architecture,
    architectures as architectures,
    build as build,
)
from ._augment import Augmentation as Augmentation
from ._backbones import WeightsError as WeightsError
from ._bag_training import BagNetwork as BagNetwork, fit_bags as fit_bags, pad_bags as pad_bags
from ._bootstrap import confident_masks as confident_masks
from ._classifier_network import (
    embed_images as embed_images,
    image_network as image_network,
    predict_images as predict_images,
)
from ._classifier_training import fit_images as fit_images
from ._embedding import Embedding as Embedding
from ._embedding_family import (
    EmbeddingFamily as EmbeddingFamily,
    embedding_family as embedding_family,
)
from ._fcn import fcn8s as fcn8s
from ._grad_cam import grad_cam as grad_cam
from ._grad_cam_sheet import grad_cam_sheet as grad_cam_sheet
from ._learning_curves import learning_curves as learning_curves
from ._mil import POOLINGS as POOLINGS, mil_model as mil_model, pool as pool
from ._mil_images import (
    ImageBagNetwork as ImageBagNetwork,
    mil_image_model as mil_image_model,
)
from ._onnx import export_onnx as export_onnx
from ._saved import load_network as load_network
from ._segmentation_data import (
    Sample as Sample,
    SegmentationSamples as SegmentationSamples,
    sample_sheet as sample_sheet,
)
from ._segmentation_loss import segmentation_loss as segmentation_loss
from ._stain_layer import stain_deconvolution as stain_deconvolution
from ._train_segmentation import train_segmenter as train_segmenter
from ._unet import unet as unet
