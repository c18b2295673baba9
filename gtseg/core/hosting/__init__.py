"""Endpoints: requests, image tiles and responses."""
