"""
The study page: a FastAPI application that Airflow's api-server mounts.

Nothing here is imported before the api-server asks for it.
"""
