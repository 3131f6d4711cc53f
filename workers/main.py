"""What `dramatiq workers.main` imports: the broker of this environment's settings."""

import dramatiq

from shared import log, settings
from workers.pool import build

found = settings.load()
log.configure(level=found.log_level, format_=found.log_format, keys={"process": "workers"})
broker = build(found)
dramatiq.set_broker(broker)
