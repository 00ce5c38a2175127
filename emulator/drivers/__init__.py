"""Ways to start an instance: a container or a plain process."""
