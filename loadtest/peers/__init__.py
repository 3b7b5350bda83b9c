"""lostid beside its peers on one machine: the same questions, the server on one core, the driver on the other."""
