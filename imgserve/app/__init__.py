"""Builds every part once, in order, and opens and closes them. The only place that reads the settings."""

from imgserve.app.application import AppFactory, configure_logging, create_app, lifespan
from imgserve.app.pictures import Parts, originals_of
from imgserve.app.settings import data_folder, recipe

__all__ = [
    "AppFactory",
    "Parts",
    "configure_logging",
    "create_app",
    "data_folder",
    "lifespan",
    "originals_of",
    "recipe",
]
