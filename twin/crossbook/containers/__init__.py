"""What `compose.yaml` runs of the twin: the world's resources are made and seeded, then the services may start."""
