"""All that is outside: files, archives, models, the journal of a run. One outside thing a file."""
