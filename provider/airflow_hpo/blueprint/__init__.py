"""
blueprint.
"""
