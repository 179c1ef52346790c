"""What `heliograph doctor` looks at: this machine, the server that commands ask, and the platform if it is here.

Each check is a function that yields findings and raises nothing that it can expect.
"""
