"""What `dramatiq workers.main` imports: the broker of this environment's settings."""

import dramatiq

from shared import settings
from shared.starting import begun
from workers.pool import build

found = settings.load()
broker = build(found, begun(found, "workers", counting=True))
dramatiq.set_broker(broker)
