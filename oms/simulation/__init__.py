"""Order flow, made up or recorded, through the real order path; and the report of a run."""
