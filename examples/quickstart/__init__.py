"""The quickstart's two workers: an order is checked by one and shipped by the other."""
