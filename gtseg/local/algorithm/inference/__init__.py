"""Prediction with a trained network: one image, a list of images, an HTTP endpoint."""
