"""
plugin.
"""
