"""Kinds of channels. Each is a folder with the same files: `fields.py` says what a person enters, `deliver.py` sends.

A new kind is such a folder, a line in `channels.Kind` and a line in `KINDS` below.
"""
