"""
operators.
"""
