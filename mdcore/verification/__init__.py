"""The theorem suite: claims of mdcore/math/README.md, measured on ordinary runs and on closed forms.

It looks at everything; no other part of the package imports it.
"""
