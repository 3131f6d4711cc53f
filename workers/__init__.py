"""Workers: claim jobs, call providers, report outcomes."""
