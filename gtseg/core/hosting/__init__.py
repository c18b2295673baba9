"""Endpoints: requests, image tiles and answers."""
