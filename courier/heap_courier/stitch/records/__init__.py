"""Records of customers, as feeds hold them: read, normalised, cleared of bad values. Never which belong together."""
