"""Page and figures of an audit."""
