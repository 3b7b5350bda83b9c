"""The command line, one file per group. Every module here loads fast; what is heavy is imported where it is used."""
