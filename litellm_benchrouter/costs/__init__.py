"""Prices, expected costs, and the policies that weigh quality against them."""
