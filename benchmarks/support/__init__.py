"""What several of the programs in this folder share."""
