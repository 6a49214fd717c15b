"""Deployments: documents, resolution, application, rollback."""
