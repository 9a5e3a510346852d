"""The command line: one file for each command; parse, hand over."""
