"""From one store to another: every table as it is, in steps that a kill does not undo.

`run.Copy` copies, `tables` says what of, `progress` remembers how far, `end` is a connection at either side.
"""
