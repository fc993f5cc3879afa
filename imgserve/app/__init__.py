"""Builds every part once, in order, and opens and closes them. The only place that reads the settings."""

from imgserve.app.admin import first_link, opened_catalog, withdraw_link
from imgserve.app.application import AppFactory, create_app, lifespan
from imgserve.app.logs import configure_logging
from imgserve.app.pictures import Parts, originals_of, server_processes
from imgserve.app.settings import create_data_folder, data_folder, render_settings

__all__ = [
    "AppFactory", "Parts", "configure_logging", "create_app", "create_data_folder", "data_folder", "first_link",
    "lifespan", "opened_catalog", "originals_of", "render_settings", "server_processes", "withdraw_link",
]  # fmt: skip
