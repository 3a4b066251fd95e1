"""Copies and near copies of images, found and grouped."""
