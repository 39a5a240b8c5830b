"""What the user asks for: clicks, boxes and earlier masks, in patient millimetres. No torch here."""
