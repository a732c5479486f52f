"""`python -m studio_service`: Streamlit's server with the studio in it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from streamlit.web import bootstrap

from studio_service import settings as studio_settings
from studio_service.parts.theme import THEME
from studio_service.settings import Settings

# In a folder of its own: beside a folder called `pages`, Streamlit would take its modules for scripts.
SCRIPT = Path(__file__).parent / "entry" / "app.py"


def options(settings: Settings) -> dict[str, Any]:
    """Streamlit's options; they win over any config.toml that happens to lie around."""
    host, port = settings.listen
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "server.maxUploadSize": settings.studio_max_upload_mb,
        # A page of another site that is open in the same browser may not reach a studio on the loopback.
        **({"server.allowedHosts": ["localhost", "127.0.0.1", "::1"]} if settings.is_local else {}),
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        # What went wrong is in the log; a seller gets a sentence.
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "global.developmentMode": False,
        "runner.magicEnabled": False,
        "logger.level": settings.log_level.lower(),
        "logger.hideWelcomeMessage": True,
        **THEME,
    }


def main() -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit status."""
    settings = studio_settings.load()
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    # Each request at INFO would drown the log that several processes share.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not settings.is_local and settings.studio_password is None:
        print(f"STUDIO_ADDR={settings.studio_addr} is open to others: set STUDIO_PASSWORD", file=sys.stderr)
        return 2
    flags = {name.replace(".", "_"): value for name, value in options(settings).items()}
    bootstrap.load_config_options(flags)
    host, port = settings.listen
    print(f"studio on http://{host}:{port}, gateway at {settings.gateway_url}", flush=True)
    bootstrap.run(str(SCRIPT), False, [], flags)
    return 0


if __name__ == "__main__":
    sys.exit(main())
