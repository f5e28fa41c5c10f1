"""``inv`` in a checkout: the root collection, assembled. Everything else is in ``korthweb_tasks``."""

from korthweb_tasks.collections import assemble

namespace = assemble()
