"""The HTTP API: endpoints, their models, the router and the documentation that is generated from them."""
