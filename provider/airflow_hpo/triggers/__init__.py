"""
triggers.
"""
