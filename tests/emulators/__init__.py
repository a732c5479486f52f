"""HTTP servers that speak the wire formats of Gemini and OpenAI, for tests without a network.

Run both with `python -m tests.emulators --gemini-port 9801 --openai-port 9802`, or inside a test:

    with gemini() as emulator:
        client = genai.Client(api_key="key-a", http_options={"base_url": emulator.url})

See `README.md` for the control routes (`/_log`, `/_faults`, `/_config`, `/_reset`).
"""

from tests.emulators.control import Fault, FaultKind, LogEntry
from tests.emulators.serving import Emulator, gemini, openai

__all__ = ["Emulator", "Fault", "FaultKind", "LogEntry", "gemini", "openai"]
