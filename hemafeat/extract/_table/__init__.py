"""Run an extraction on threads, processes or a cluster, into memory or a folder."""
