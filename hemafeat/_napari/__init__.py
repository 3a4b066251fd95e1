"""Plug-in of napari: open images with their masks, correct them, measure, write them back.

``napari.yaml`` says what it offers. napari is imported only when napari asks for the plug-in.
"""
