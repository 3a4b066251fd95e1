"""Segmentation by a U-Net that OpenCV runs, with the weights that come with the package."""
