"""
factory.
"""
