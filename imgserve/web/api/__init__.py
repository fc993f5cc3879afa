"""The endpoints below /api: what they take, what they answer."""
