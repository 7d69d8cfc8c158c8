"""From benchmark results to one verified version; nothing in here is loaded by a proxy."""
