"""From one visit to the next: the images aligned, each lesion's prompts carried over, and answered anew."""
