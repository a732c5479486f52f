"""Driving Chromium politely: pace, robots.txt, retries, state, and a clear end where a site refuses."""
