"""What the stand-ins for ``fly`` and ``docker`` are made of. Standard library only: they run wherever a ``python3`` is."""
