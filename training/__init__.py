"""Training: environments, the trainer, and the export to artifacts. Never imported by trading."""
