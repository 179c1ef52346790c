"""Webhooks, signed as Standard Webhooks specifies (https://www.standardwebhooks.com)."""
