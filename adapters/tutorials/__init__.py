"""The tutorials in a folder of the reader's own, as scripts and as notebooks.

The tutorials themselves are in `tutorials/`.
"""
