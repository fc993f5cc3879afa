"""The HTTP API: endpoints, each declared once, and what is made of the declarations. Pictures are not answered here."""
