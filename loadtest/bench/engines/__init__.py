"""``engines``: engines that a studio rents, for real, and what happens when a part of them goes.

A module an engine offers ``FAULTS``, each of which `measuring` measures under load: requests a
second before, during and after, how long until answers are normal again, and what of all that was
acknowledged is lost or there twice.
"""
