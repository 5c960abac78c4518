"""
testing.
"""
