"""Who may call, and how much: API keys, their plans' throttle and quota."""
