from ._architectures.architectures import (
    ARCHITECTURES as ARCHITECTURES,
    Architecture as Architecture,
    architectures as architectures,
    build as build,
)
from ._architectures.lenet import StainedNetwork as StainedNetwork
from ._architectures.stains import STAINS as STAINS, stain_deconvolution as stain_deconvolution
from ._backbones import (
    Backbone as Backbone,
    WeightsError as WeightsError,
    backbone as backbone,
)
from ._bags.mil import (
    POOLINGS as POOLINGS,
    VECTOR_POOLINGS as VECTOR_POOLINGS,
    mil_model as mil_model,
    pool as pool,
    pool_vectors as pool_vectors,
)
from ._bags.mil_images import (
    ImageBagNetwork as ImageBagNetwork,
    mil_image_model as mil_image_model,
)
from ._bags.training import BagNetwork as BagNetwork, fit_bags as fit_bags, pad_bags as pad_bags
from ._cell_images import (
    PictureMaker as PictureMaker,
    Pictures as Pictures,
    image_sources as image_sources,
)
from ._classifier.augment import Augmentation as Augmentation
from ._classifier.figures import (
    grad_cam_sheet as grad_cam_sheet,
    learning_curves as learning_curves,
)
from ._classifier.grad_cam import grad_cam as grad_cam
from ._classifier.network import (
    embed_images as embed_images,
    image_network as image_network,
    predict_images as predict_images,
)
from ._classifier.training import (
    check_options as check_options,
    fit_images as fit_images,
    trained_layers as trained_layers,
)
from ._embedding.embedding import Embedding as Embedding
from ._embedding.family import (
    EmbeddingFamily as EmbeddingFamily,
    embedding_family as embedding_family,
)
from ._embedding.names import EmbeddingName as EmbeddingName
from ._onnx import export_onnx as export_onnx
from ._saved import load_network as load_network
from ._segmentation.fcn import fcn8s as fcn8s
from ._segmentation.loss import segmentation_loss as segmentation_loss
from ._segmentation.samples import (
    Sample as Sample,
    SegmentationSamples as SegmentationSamples,
    sample_sheet as sample_sheet,
)
from ._segmentation.self_training import confident_masks as confident_masks
from ._segmentation.training import train_segmenter as train_segmenter
from ._segmentation.unet import unet as unet
