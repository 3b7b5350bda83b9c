"""How the registry grows: synthetic ledgers of any size, and what memory, restart and speed become of them."""
