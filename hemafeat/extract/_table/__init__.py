"""From images to a table: one run, on threads, processes or a cluster, into memory or a folder."""
