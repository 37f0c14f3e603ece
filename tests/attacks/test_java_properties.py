"""Attack: a property by which a signed job has its Java virtual machine load, open or read what is not its own."""

from __future__ import annotations

import pytest

from rjs.descriptor.java_options import property_faults


@pytest.mark.parametrize(
    "name",
    [
        "com.sun.management",  # the machine compares the beginning only: this loads the management agent
        "com.sun.management.jmxremote.port",
        "com.sun.managementX",
        "java.security",
        "java.security.policy",
        "jdk.attach.allowAttachSelf",
        "jdk.boot.class.path.append",
        "jdk.internal",
        "jdk.internal.lambda.disableEagerInitialization",
        "jdk.launcher.patch.0",
        "jdk.module.path",
        "sun.boot",
        "sun.boot.library.path",
        "sun.java.launcher",
        "sun.jvm.args",
    ],
)
def test_a_property_that_begins_like_the_machines_own(name: str) -> None:
    """It is refused, with or without anything behind the beginning."""
    (fault,) = property_faults([(name, "1")])
    assert "not a job's to set" in fault
