"""Storage of originals: folders, their trash, and watching them."""
