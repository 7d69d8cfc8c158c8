"""What lies on disk: the files of one version, the folders of all, and which of them serves."""
