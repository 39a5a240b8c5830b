"""What the user sees and touches: the panel and its parts. It tells the logic what to do and shows what it says."""
