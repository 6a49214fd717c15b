"""What all tests share, those of the components too."""

from hypothesis import settings

# How long an example may take says nothing on a machine that is busy with other tests.
settings.register_profile("verge", deadline=None)
settings.load_profile("verge")
