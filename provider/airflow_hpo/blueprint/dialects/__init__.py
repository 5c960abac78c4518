"""
blueprint/dialects.
"""
