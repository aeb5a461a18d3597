"""The theorem suite: claims of THEORY measured on runs of the ordinary pipeline, and on closed forms.

It looks at everything; no other part of the package imports it.
"""
