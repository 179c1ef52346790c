"""The audit log: who did what, and which rows and fields it changed."""
