"""Keeps accepted jobs; one module per way of keeping them."""
