"""A demonstration that needs no key and no download: a real proxy, mock deployments, real requests."""
