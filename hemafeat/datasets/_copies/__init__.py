"""Find and group copies and near copies of images."""
