"""Tables, records and pictures of what the other folders return."""
