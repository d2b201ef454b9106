"""A run of a courier: which files, which load operations, in which order. Never how a file is read or a row stored."""
