"""What the user asks for: clicks, boxes and earlier masks, in patient millimeters. No torch here."""
