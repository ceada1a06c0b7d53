"""The exercises: the judge that checks what a student writes, and the command around it.

The exercises themselves are in `tutorials/exercises/`; their specifications are written with the
functions of `assertions`.
"""
