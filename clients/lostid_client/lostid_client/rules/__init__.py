"""How the registry reads a document number. Copies: change the originals, then run `take_rules.py`."""
