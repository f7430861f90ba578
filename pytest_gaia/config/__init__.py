"""What a run is about: options, project file, environments and secrets, resolved once into frozen values."""
