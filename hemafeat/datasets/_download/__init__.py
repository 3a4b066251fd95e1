"""Download public data sets, with checksums and resumption."""
