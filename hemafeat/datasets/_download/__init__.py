"""Download of public data sets, checked and resumable."""
