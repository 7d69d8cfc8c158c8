"""A demonstration without key or download: a real proxy, mock deployments, real requests."""
