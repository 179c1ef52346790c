"""Drift monitors: is what users ask, what models answer, or how they do it, changing?"""
