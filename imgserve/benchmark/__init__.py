"""How fast a running server is beside floors and peers; starts programs and talks HTTP, and knows no part of them."""
