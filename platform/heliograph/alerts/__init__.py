"""Alerts: rules over the numbers that the pages show, and messages that reach people and services."""
