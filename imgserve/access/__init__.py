"""Who may do what. Every entry point asks here."""
