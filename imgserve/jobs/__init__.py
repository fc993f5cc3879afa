"""Durable background work: bulk imports of images from lists of URLs."""
