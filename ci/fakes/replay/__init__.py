"""The fakes of ``fly`` and ``docker``. They use only the standard library, so they run with any ``python3``."""
