"""The edge: what callers send and what they are told. Everything about HTTP is in this room."""
