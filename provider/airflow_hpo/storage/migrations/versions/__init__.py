"""
One file a revision: ``rev_`` and its number.
"""
