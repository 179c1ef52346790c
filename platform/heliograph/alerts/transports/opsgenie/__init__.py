"""Opsgenie, by its Alert API."""
