"""The fakes of ``fly``, ``docker`` and ``kubectl``. They use only the standard library, so they run with any ``python3``."""
