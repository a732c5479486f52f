"""One module per screen: thin views over the pure modules beside them."""
