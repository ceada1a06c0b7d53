"""The exercises: what a student writes, the judge that checks it, the command around both.

The exercises themselves are `tutorials/exercises/`; `check.py` has the words in which their
specifications are written.
"""
