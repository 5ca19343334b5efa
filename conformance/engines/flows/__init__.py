"""One module a topic; each function is a flow."""
