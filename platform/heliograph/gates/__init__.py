"""Regression gates and drift monitors: did the new version get worse, and is the traffic changing?"""
