"""How an instance is spoken to."""
