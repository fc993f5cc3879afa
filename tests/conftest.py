"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A shared, busy machine is no reason to fail: a property holds or not, however long an example takes.
settings.register_profile("imgserve", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("imgserve")
