"""
Triggers: the wait for jobs that run elsewhere.
"""
