"""Upgrades of catalogs of earlier releases."""
